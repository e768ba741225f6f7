"""From what an S3 service or its client says to our errors, without a secret in the text."""

from __future__ import annotations

import re
from typing import NamedTuple

from bridge.errors import (
    AccessError,
    BridgeError,
    NotFoundError,
    PermanentError,
    StorageUnavailable,
)

# Compiled at their first use: most processes meet no error.
_STATUS = r"status code: (\d{3})"
_CODE = r"<Code>([^<]{1,100})</Code>"
_MESSAGE = r"<Message>([^<]{1,300})</Message>"
_CAUSES = (
    ("dns error", "its host name is not known"),
    ("Connection refused", "nobody listens there"),
    ("tcp connect error", "it cannot be reached"),
    ("TimedOut", "it did not answer in time"),
    ("UnknownIssuer", "its certificate is not trusted"),
    ("invalid peer certificate", "its certificate is not valid"),
    ("InvalidContentType", "it does not speak TLS"),
    ("connection closed", "the connection was cut"),
)
# The address where a machine on AWS is asked for its role: reaching it means nothing else was set.
_METADATA_HOST = "169.254.169.254"
_DENIED = frozenset({401, 403})
_MOVED = frozenset({301, 302, 307, 308})
_BUSY = frozenset({408, 425, 429})


class Subject(NamedTuple):
    """What a request was about, for its error message."""

    provider: str
    doing: str
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{self.doing} {self.bucket}/{self.key} in {self.provider}"


class Answer(NamedTuple):
    """What the service said: HTTP status (0 when it said nothing), S3's code and its message."""

    status: int
    code: str = ""
    message: str = ""

    @classmethod
    def parse(cls, status: int, body: str) -> Answer:
        """Read S3's error document; the rest of it may quote keys and is left out."""
        code, message = re.search(_CODE, body), re.search(_MESSAGE, body)
        return cls(status, code[1] if code else "", message[1].strip() if message else "")

    @property
    def words(self) -> str:
        """For a message: the code and the sentence of the service."""
        said = " ".join(part for part in (self.code, self.message) if part)
        return said or f"HTTP status {self.status}"


def native_error(error: Exception, subject: Subject) -> BridgeError:
    """Our error for one that the native client raised."""
    text = str(error)
    status = re.search(_STATUS, text)
    if _METADATA_HOST in text:
        return _no_credentials(subject)
    if status:
        return answer_error(Answer.parse(int(status[1]), text), subject)
    if isinstance(error, FileNotFoundError):
        return answer_error(Answer(404), subject)
    if "without LOCATION" in text:
        return answer_error(Answer(301), subject)
    cause = next((words for sign, words in _CAUSES if sign in text), "the connection failed")
    return StorageUnavailable(f"cannot {subject}: {cause}")


def answer_error(answer: Answer, subject: Subject) -> BridgeError:
    """Our error for an answer of the service that is not a success."""
    if answer.code == "NoSuchBucket":
        return NotFoundError(f"cannot {subject}: the bucket does not exist")
    if answer.status == 404:
        what = "the object" if answer.code == "NoSuchKey" else "the bucket or the object"
        return NotFoundError(f"cannot {subject}: {what} does not exist")
    if answer.status in _DENIED:
        return AccessError(f"cannot {subject}: access denied: {answer.words}")
    if answer.status in _MOVED:
        return PermanentError(
            f"cannot {subject}: the bucket is in another region",
            hint=f"set the region of {subject.provider} to the bucket's",
        )
    if answer.status >= 500 or answer.status in _BUSY:
        return StorageUnavailable(f"cannot {subject}: {answer.words}")
    return PermanentError(f"cannot {subject}: {answer.words}")


def _no_credentials(subject: Subject) -> AccessError:
    return AccessError(
        f"cannot {subject}: no credentials were found",
        hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the job a role",
    )
