"""ECR over the images of this machine: what an engine has can be described, listed and run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from bridge.errors import PermanentError
from bridge.local.aws.model import Scope
from bridge.local.executors import Executor, Image, OnExit, Running, Sink, Task

Json = dict[str, Any]
Images = Callable[[], Mapping[str, Image]]

_URI: Final = re.compile(r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?/(.+)")
_MEDIA: Final = "application/vnd.docker.distribution.manifest.v2+json"
_PAGE: Final = 100
_MOST: Final = 1_000


class EcrFault(Exception):
    """An error of ECR, by its code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class EcrExecutor:
    """An executor for which an image of the account's ECR may also be here without that prefix."""

    def __init__(self, inner: Executor) -> None:
        self._inner = inner

    @property
    def engine(self) -> str:
        """See `Executor.engine`."""
        return self._inner.engine

    def start(self, task: Task, sink: Sink, on_exit: OnExit | None = None) -> Running:
        """See `Executor.start`."""
        return self._inner.start(_with_image(task, self._here(task.image)), sink, on_exit)

    def check(self, image: str) -> int | None:
        """See `Executor.check`."""
        return self._inner.check(self._here(image))

    def close(self) -> None:
        """See `Executor.close`."""
        self._inner.close()

    def _here(self, image: str) -> str:
        found = _URI.fullmatch(image)
        if found is None:
            return image
        try:
            self._inner.check(image)
        except PermanentError:
            return found[1]
        return image


class LocalRegistry:
    """Adds this machine's images to ECR's own answers; an image's repository is its name."""

    operations: Final = frozenset({"DescribeRepositories", "DescribeImages", "ListImages"})

    def __init__(self, images: Images) -> None:
        self._images = images

    def answer(self, operation: str, body: Json, scope: Scope, stored: Json | None) -> Json:
        """The answer to one of `operations`; an EcrFault when something is not there.

        `stored` is ECR's own complete answer, None when it has no such repository.
        """
        if operation == "DescribeRepositories":
            return self._repositories(body, scope, stored or {})
        name = str(body.get("repositoryName", ""))
        details = list((stored or {}).get("imageDetails") or ()) + self._details(name, scope)
        if stored is None and not details:
            raise _no_repository(name, scope)
        if operation == "DescribeImages":
            wanted = body.get("imageIds") or ()
            chosen = [_chosen(details, one, name, scope) for one in wanted] or details
            return _page(body, "imageDetails", chosen)
        status = (body.get("filter") or {}).get("tagStatus")
        return _page(body, "imageIds", _ids(details, status))

    def _repositories(self, body: Json, scope: Scope, stored: Json) -> Json:
        known = {one["repositoryName"]: one for one in stored.get("repositories") or ()}
        for name, _, image in self._here(scope):
            known.setdefault(name, _repository(name, scope, image))
        wanted = body.get("repositoryNames") or list(known)
        for name in wanted:
            if name not in known:
                raise _no_repository(name, scope)
        return _page(body, "repositories", [known[name] for name in wanted])

    def _details(self, name: str, scope: Scope) -> list[Json]:
        """One entry per image, with all its tags in this repository."""
        found: dict[str, Json] = {}
        for repository, tag, image in self._here(scope):
            if repository == name:
                entry = found.setdefault(image.digest, _detail(name, scope, image))
                entry["imageTags"].append(tag)
        return list(found.values())

    def _here(self, scope: Scope) -> list[tuple[str, str, Image]]:
        """Repository, tag and image: names of this account's registry, and names without one."""
        own = f"{_registry(scope)}/"
        found = []
        for name, image in sorted(self._images().items()):
            repository, _, tag = name.removeprefix(own).rpartition(":")
            if "." not in repository.partition("/")[0] and ":" not in repository:
                found.append((repository, tag, image))
        return found


def _with_image(task: Task, image: str) -> Task:
    return task if task.image == image else replace(task, image=image)


def _registry(scope: Scope) -> str:
    return f"{scope.account}.dkr.ecr.{scope.region}.amazonaws.com"


def _repository(name: str, scope: Scope, image: Image) -> Json:
    return {
        "repositoryArn": f"arn:aws:ecr:{scope.region}:{scope.account}:repository/{name}",
        "registryId": scope.account,
        "repositoryName": name,
        "repositoryUri": f"{_registry(scope)}/{name}",
        "createdAt": image.created,
        "imageTagMutability": "MUTABLE",
    }


def _detail(name: str, scope: Scope, image: Image) -> Json:
    return {
        "registryId": scope.account,
        "repositoryName": name,
        "imageDigest": image.digest,
        "imageTags": [],
        "imageSizeInBytes": image.size,
        "imagePushedAt": image.created,
        "imageManifestMediaType": _MEDIA,
    }


def _chosen(details: Sequence[Json], wanted: Json, name: str, scope: Scope) -> Json:
    tag, digest = wanted.get("imageTag"), wanted.get("imageDigest")
    for one in details:
        if digest in {None, one["imageDigest"]} and (tag is None or tag in one["imageTags"]):
            return one
    shown = ", ".join(
        f"{key}:'{value or 'null'}'" for key, value in (("imageDigest", digest), ("imageTag", tag))
    )
    text = f"The image with imageId {{{shown}}} does not exist within the repository with name"
    raise EcrFault(
        "ImageNotFoundException", f"{text} '{name}' in the registry with id '{scope.account}'"
    )


def _ids(details: Sequence[Json], status: str | None) -> list[Json]:
    found: list[Json] = []
    for one in details:
        tags = one["imageTags"]
        if tags and status != "UNTAGGED":
            found += [{"imageDigest": one["imageDigest"], "imageTag": tag} for tag in tags]
        if not tags and status != "TAGGED":
            found.append({"imageDigest": one["imageDigest"]})
    return found


def _page(body: Json, name: str, entries: Sequence[Json]) -> Json:
    token = str(body.get("nextToken") or "0")
    if not token.isdigit():
        raise EcrFault("InvalidParameterException", "nextToken is not one of ours")
    start = int(token)
    end = start + min(int(body.get("maxResults") or _PAGE), _MOST)
    answer: Json = {name: list(entries[start:end])}
    if end < len(entries):
        answer["nextToken"] = str(end)
    return answer


def _no_repository(name: str, scope: Scope) -> EcrFault:
    text = f"The repository with name '{name}' does not exist in the registry with id"
    return EcrFault("RepositoryNotFoundException", f"{text} '{scope.account}'")


def stored_query(operation: str, body: Json) -> tuple[str, Json]:
    """What to ask ECR's own store so that it answers with everything."""
    if operation == "DescribeRepositories":
        return operation, {}
    return "DescribeImages", {"repositoryName": body.get("repositoryName")}
