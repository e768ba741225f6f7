"""The container engine as a builder: all of this room that touches Docker's SDK.

Imported only when needed. Nothing is ever pulled.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from docker import APIClient
from docker.errors import APIError, DockerException, ImageNotFound
from docker.utils import kwargs_from_env
from requests.exceptions import RequestException

from bridge.errors import AccessError, BridgeError, MissingToolError, PermanentError, TemporaryError
from bridge.images import _layer, _recipe
from bridge.images._auth import REFRESH, login_hint
from bridge.images.model import Credentials, ImagePlan, Reference, Source

_ANSWER_SECONDS: Final = 10
_DENIALS: Final = (
    "access denied",
    "authentication required",
    "authorization failed",
    "denied:",
    "forbidden",
    "no basic auth credentials",
    "unauthorized",
)
_PASSING: Final = (
    "toomanyrequests",
    "connection re",
    "timeout",
    "unavailable",
    "eof",
    "received unexpected",
)


class DockerEngine:
    """An engine that answers; TemporaryError when none does."""

    def __init__(self) -> None:
        try:
            self._client = APIClient(timeout=_ANSWER_SECONDS, **kwargs_from_env())
            self._client.ping()
        except (DockerException, RequestException, OSError) as error:
            raise TemporaryError(
                "no container engine answers",
                hint="start one, such as dockerd, and check that this user may use its socket",
            ) from error
        self._client.timeout = None  # type: ignore[assignment]  # a build takes what it takes

    def close(self) -> None:
        """Close the connection to the engine."""
        self._client.close()

    def find(self, image: Reference) -> tuple[Source, dict[str, str]] | None:
        """An image of this machine and its labels, None when it is not here."""
        facts = self._inspect(str(image))
        if facts is None:
            return None
        if facts["Os"] != "linux":
            raise PermanentError(f"image {image} is for {facts['Os']}, not for Linux")
        config = facts.get("Config") or {}
        source = Source(
            name=str(image),
            identity=_identity(facts),
            arch=facts["Architecture"],
            where="engine",
            digest=_manifest_digest(facts, image.name),
            entrypoint=tuple(config.get("Entrypoint") or ()),
            command=tuple(config.get("Cmd") or ()),
            triggers=tuple(config.get("OnBuild") or ()),
        )
        return source, dict(config.get("Labels") or {})

    def has(self, image: Reference) -> str:
        """The id of an image of this machine, "" when it is not here."""
        facts = self._inspect(str(image))
        return str(facts["Id"]) if facts else ""

    def build(self, plan: ImagePlan, runtime: Path) -> str:
        """Build the image of a plan and name it; the answer is its id.

        PermanentError when the source's name means another image by now.
        """
        origin = self._inspect(plan.source.name)
        if origin is None or _identity(origin) != plan.source.identity:
            raise PermanentError(
                f"image {plan.source.name} has changed since the plan was made", hint="plan again"
            )
        arguments = {"SOURCE": str(origin["Id"])}
        return self._build(plan.target, runtime, _dockerfile(), dict(plan.labels), arguments)

    def pack(
        self, target: Reference, runtime: Path, entry: Sequence[str], labels: Mapping[str, str]
    ) -> str:
        """Build an image of the runtime alone, which runs `entry`; the answer is its id."""
        text = f"FROM scratch\nADD runtime.tar /\nENTRYPOINT {json.dumps(list(entry))}\n"
        return self._build(target, runtime, text.encode(), labels, {})

    def _build(
        self,
        target: Reference,
        runtime: Path,
        dockerfile: bytes,
        labels: Mapping[str, str],
        arguments: dict[str, str],
    ) -> str:
        with _translated(f"build {target}"), _context(runtime, dockerfile) as context:
            answers = self._client.build(
                fileobj=context,
                custom_context=True,
                dockerfile=_DOCKERFILE,
                tag=str(target),
                buildargs=arguments,
                labels=dict(labels),
                pull=False,
                rm=True,
                forcerm=True,
                decode=True,
            )
            _follow(answers, f"the container engine could not build {target}", "")
        return self.has(target)

    def push(self, image: Reference, credentials: Credentials | None) -> str:
        """Push an image; the answer is its digest in the registry."""
        with _translated(f"push {image}"):
            answers = self._client.push(
                image.name,
                tag=image.tag,
                stream=True,
                decode=True,
                auth_config=_auth_config(credentials),
            )
            return _follow(answers, f"push {image}", login_hint(image.registry))

    def _inspect(self, name: str) -> dict[str, Any] | None:
        with _translated(f"look for image {name}"):
            try:
                return dict(self._client.inspect_image(name))  # type: ignore[no-untyped-call]
            except ImageNotFound:
                return None


_DOCKERFILE: Final = "Dockerfile"


def _identity(facts: dict[str, Any]) -> str:
    layers = list((facts.get("RootFS") or {}).get("Layers") or ())
    return _recipe.identity(facts["Architecture"], layers, facts.get("Config") or {})


def _manifest_digest(facts: dict[str, Any], name: str) -> str:
    """The digest under which this repository's registry knows an image, "" when it does not."""
    known = dict(str(one).split("@", 1) for one in facts.get("RepoDigests") or ())
    return known.get(name, "")


@contextlib.contextmanager
def _context(runtime: Path, dockerfile: bytes) -> Iterator[IO[bytes]]:
    """The build folder as an archive: the Dockerfile and the runtime's archive."""
    with tempfile.TemporaryFile() as layer, tempfile.TemporaryFile() as context:
        _layer.write(runtime, layer)
        with tarfile.open(fileobj=context, mode="w") as archive:
            _put(archive, "runtime.tar", layer, layer.tell())
            _put(archive, _DOCKERFILE, io.BytesIO(dockerfile), len(dockerfile))
        context.seek(0)
        yield context


def _put(archive: tarfile.TarFile, name: str, data: IO[bytes], size: int) -> None:
    data.seek(0)
    entry = tarfile.TarInfo(name)
    entry.size = size
    archive.addfile(entry, data)


def _dockerfile() -> bytes:
    """`lambda_runtime/Dockerfile`, read from its place and not imported: it is not below us."""
    spec = importlib.util.find_spec("lambda_runtime")
    if spec is None or spec.origin is None:
        raise MissingToolError(
            "the package lambda_runtime is not installed",
            hint="reinstall oscar-bridge: pip install --force-reinstall oscar-bridge",
        )
    return Path(spec.origin).with_name(_DOCKERFILE).read_bytes()


def _auth_config(credentials: Credentials | None) -> dict[str, str]:
    if credentials is None:
        return {"username": "", "password": ""}
    if credentials.username == REFRESH:
        return {"identitytoken": credentials.password.reveal()}
    return {"username": credentials.username, "password": credentials.password.reveal()}


def _follow(answers: Iterator[dict[str, Any]], what: str, hint: str) -> str:
    """Read the engine's news to the end; its errors become ours. The digest, where one is told."""
    digest = ""
    for news in answers:
        if "error" in news:
            raise _failure(f"{what}: {news['error']}", hint)
        digest = (news.get("aux") or {}).get("Digest", digest)
    return digest


def _failure(message: str, hint: str) -> BridgeError:
    text = message.lower()
    if any(word in text for word in _DENIALS):
        return AccessError(message, hint=hint)
    return (TemporaryError if any(word in text for word in _PASSING) else PermanentError)(message)


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        text = f"the container engine refused to {what}: {error.explanation or error}"
        raise (TemporaryError if error.is_server_error() else PermanentError)(text) from error
    except (DockerException, RequestException) as error:
        raise TemporaryError(f"the container engine could not {what}: {error}") from error
