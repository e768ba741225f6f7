"""The values of this room: names of images, what is laid on them, and the plan of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from bridge.errors import UsageError
from bridge.secret import Secret

Arch = Literal["amd64", "arm64"]
Route = Literal["engine", "registry"]
Step = Literal["build", "push"]

_DEFAULT_REGISTRY: Final = "docker.io"
_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_REGISTRY = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a registry asks for. The user name `<token>` means that the password is a refresh
    token, as Docker's credential helpers say it."""

    username: str
    password: Secret


CredentialSource = Callable[[str], Credentials | None]
"""Credentials for a registry's host (and port), None when there are none."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The full name of an image: `registry/repository:tag` or `registry/repository@digest`.

    At least one of `tag` and `digest` is given; the digest counts when both are.
    """

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a name as Docker does: without a registry it is on Docker Hub, without a tag it is
        `latest`. UsageError when it is not a name of an image."""
        name, at, digest = text.partition("@")
        head, slash, rest = name.partition("/")
        if slash and (head == "localhost" or any(mark in head for mark in ".:")):
            registry, path = head, rest
        else:
            registry, path = _DEFAULT_REGISTRY, name
        repository, _, tag = path.partition(":")
        if registry == _DEFAULT_REGISTRY and "/" not in repository:
            repository = f"library/{repository}"
        if not digest and not _has_tag(path):
            tag = "latest"
        made = cls(registry, repository, tag, digest)
        made._check(text, has_digest=bool(at))
        return made

    def _check(self, text: str, *, has_digest: bool) -> None:
        parts = (
            _REGISTRY.fullmatch(self.registry),
            _REPOSITORY.fullmatch(self.repository),
            not self.tag or _TAG.fullmatch(self.tag),
            self.tag or self.digest,
            not has_digest or _DIGEST.fullmatch(self.digest),
        )
        if not all(parts):
            raise UsageError(
                f"{text!r} is not the name of an image",
                hint="write registry/repository:tag, in lower case",
            )

    @property
    def version(self) -> str:
        """The digest if there is one, else the tag."""
        return self.digest or self.tag

    @property
    def name(self) -> str:
        """The repository with its registry; what is on Docker Hub is named as Docker names it."""
        if self.registry == _DEFAULT_REGISTRY:
            return self.repository.removeprefix("library/")
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def _has_tag(path: str) -> bool:
    return ":" in path


@dataclass(frozen=True, slots=True)
class Source:
    """A user's image that was found: `identity` names its content, whoever holds it.

    `digest` is that of its manifest in a registry, "" when the image never was in one. `where` is
    who holds it. `entrypoint` and `command` are the image's own, which a service image has not.
    """

    name: str
    identity: str
    arch: str
    where: Route
    digest: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """What has to be done so that a service's image exists; computed by reads only.

    `steps` is empty when nothing has to be done; `why` is one sentence. `route` says who does it:
    the container engine, or the registry's API alone. `digest` is that of the target where it
    exists already (see `Built`), `labels` are those of the new image.
    """

    source: Source
    target: Reference
    runtime: str
    steps: tuple[Step, ...]
    why: str
    route: Route
    digest: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def action(self) -> Step | Literal["nothing"]:
        """The first step, or `nothing`."""
        return self.steps[0] if self.steps else "nothing"


@dataclass(frozen=True, slots=True)
class Built:
    """An image that is there now: its name, and the digest under which its holder knows it.

    In a registry that is the manifest's digest, in an engine the image's id.
    """

    target: Reference
    digest: str
