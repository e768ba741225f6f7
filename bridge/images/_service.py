"""Service images from plan to being there."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from bridge.errors import (
    MissingToolError,
    NotFoundError,
    PermanentError,
    TemporaryError,
    UsageError,
)
from bridge.fdl.model import Service
from bridge.images import _recipe, _remote
from bridge.images._bundle import Bundle
from bridge.images.credentials import docker_credentials
from bridge.images.ecr import Ecr, is_ecr
from bridge.images.model import (
    Built,
    Credentials,
    CredentialSource,
    ImagePlan,
    Reference,
    Source,
    Step,
)
from bridge.images.registry import Registry

REPOSITORY: Final = "oscar-bridge/services"


class Engine(Protocol):
    """What this room needs of a container engine."""

    def find(self, image: Reference) -> tuple[Source, dict[str, str]] | None:
        """An image of this machine and its labels, None when it is not here."""

    def has(self, image: Reference) -> str:
        """The id of an image of this machine, "" when it is not here."""

    def build(self, plan: ImagePlan, runtime: Path) -> str:
        """Build the image of a plan; the answer is its id."""

    def pack(
        self, target: Reference, runtime: Path, entry: Sequence[str], labels: Mapping[str, str]
    ) -> str:
        """Build an image of the runtime alone, which runs `entry`; the answer is its id."""

    def push(self, image: Reference, credentials: Credentials | None) -> str:
        """Push an image; the answer is its digest in the registry."""

    def close(self) -> None:
        """Let go of the engine."""


EngineOf = Callable[[], Engine]


def docker_engine() -> Engine:
    """The Docker engine that the environment names.

    MissingToolError without the Python package `docker`, TemporaryError when none answers.
    """
    if importlib.util.find_spec("docker") is None:
        raise MissingToolError(
            "the Python package docker is not installed",
            hint="pip install 'oscar-bridge[local]'",
        )
    from bridge.images._engine import DockerEngine  # noqa: PLC0415  (heavy, and an extra)

    return DockerEngine()


class ServiceImages:
    """Makes images that AWS Lambda and AWS Batch can run out of users' images.

    An image that the engine has is taken from there; another is taken from its registry when the
    result is pushed, without any engine. Nothing is pulled. `bundle` is the runtime, by default
    this machine's own; `engine_of` gives the engine or says by an error that there is none.
    Credentials are Docker's, for Amazon ECR those that AWS gives, unless `credentials` is given.
    """

    def __init__(
        self,
        bundle: Bundle | None = None,
        *,
        engine_of: EngineOf = docker_engine,
        credentials: CredentialSource | None = None,
        ecr: Ecr | None = None,
    ) -> None:
        self.bundle = bundle or Bundle.own()
        self._engine_of = engine_of
        self._ecr = ecr or Ecr()
        self._credentials = credentials or self._ambient
        self._lock = threading.Lock()
        self._registries: dict[str, Registry] = {}
        self._known: dict[str, Credentials | None] = {}
        self._engine: Engine | None = None
        self._no_engine: MissingToolError | TemporaryError | None = None

    def plan(
        self, image: str, arch: str, *, repository: str = REPOSITORY, push: bool = False
    ) -> ImagePlan:
        """What has to be done so that the image for services of `image` exists.

        With `push` it must exist in the registry of `repository`, else in this machine's engine.
        NotFoundError when the source is not where it could be taken from; UsageError when its
        architecture or the runtime's is not `arch`, or a name is wrong.
        """
        origin = Reference.parse(image)
        source, existing = self._source(origin, arch, push=push)
        self._check(source, arch)
        name = f"{repository}:{_recipe.tag(source.identity, self.bundle.digest)}"
        target = Reference.parse(name)
        steps, why, digest = self._steps(source, target, push=push)
        return ImagePlan(
            source=source,
            target=target,
            runtime=self.bundle.digest,
            steps=steps,
            why=why,
            route=source.where,
            digest=digest,
            labels=_recipe.labels(source, self.bundle.digest, existing),
        )

    def plan_for(
        self, service: Service, *, repository: str = REPOSITORY, push: bool = False
    ) -> ImagePlan:
        """`plan` for a service's image and architecture."""
        if not service.image:
            raise UsageError(
                f"service {service.name} names no image",
                hint="load an archive with `docker load` and write the image's name",
            )
        return self.plan(service.image, service.arch, repository=repository, push=push)

    def apply(self, plan: ImagePlan) -> Built:
        """Do what the plan says. Doing it again does no harm."""
        if not plan.steps:
            return Built(plan.target, plan.digest)
        if "push" in plan.steps and is_ecr(plan.target.registry):
            self._ecr.ensure_repository(plan.target)
        if plan.route == "registry":
            origin = Reference.parse(plan.source.name)
            source, target = self._registry(origin.registry), self._registry(plan.target.registry)
            return Built(plan.target, _remote.build(plan, source, target, self.bundle.folder()))
        return self._apply_with_engine(plan)

    def close(self) -> None:
        """Let go of the engine, if one was asked."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _apply_with_engine(self, plan: ImagePlan) -> Built:
        engine, digest = self._need_engine(), ""
        if "build" in plan.steps:
            digest = engine.build(plan, self.bundle.folder())
        if "push" in plan.steps:
            digest = engine.push(plan.target, self._credentials(plan.target.registry))
        return Built(plan.target, digest)

    def _source(self, image: Reference, arch: str, *, push: bool) -> tuple[Source, dict[str, str]]:
        engine = self._engine_or_none() if push else self._need_engine()
        if engine is not None and (found := engine.find(image)):
            return found
        if push:
            return _remote.find(self._registry(image.registry), image, arch)
        raise NotFoundError(
            f"image {image} is not on this machine",
            hint=f"docker pull --platform linux/{arch} {image}, or build it with this name; "
            "with --push it is taken from its registry",
        )

    def _check(self, source: Source, arch: str) -> None:
        if source.arch != arch:
            raise UsageError(
                f"image {source.name} is for {source.arch}, and the service is for {arch}",
                hint=f"get the other with: docker pull --platform linux/{arch} {source.name}",
            )
        if self.bundle.arch != arch:
            raise UsageError(
                f"the runtime is for {self.bundle.arch}, and the service is for {arch}",
                hint=f"run `oscar-bridge runtime build` on a machine with {arch}, copy the folder "
                "here and give it with --runtime",
            )
        if source.triggers and source.where == "engine":
            raise PermanentError(
                f"image {source.name} has ONBUILD instructions: it is made to build images on",
                hint="build an image from it, and name that one",
            )

    def _steps(
        self, source: Source, target: Reference, *, push: bool
    ) -> tuple[tuple[Step, ...], str, str]:
        runtime = f"runtime {self.bundle.digest[:12]}"
        made_before = f"the source and {runtime} have not changed"
        missing = f"no image of this source with {runtime}"
        if push:
            registry = self._registry(target.registry)
            if digest := registry.digest(target.repository, target.tag):
                return (), f"the registry has it: {made_before}", digest
        if source.where == "registry":
            return ("build", "push"), f"the registry has {missing}", ""
        digest = self._need_engine().has(target)
        if push and digest:
            return ("push",), "it was built before, but the registry does not have it", ""
        if digest:
            return (), f"it was built before: {made_before}", digest
        return ("build", "push") if push else ("build",), f"there is {missing}", ""

    def _need_engine(self) -> Engine:
        engine = self._engine_or_none()
        if engine is None:
            assert self._no_engine is not None
            raise MissingToolError(
                f"a local image needs a container engine: {self._no_engine.message}",
                hint=f"{self._no_engine.hint}; or push to a registry, which needs no engine",
            ) from self._no_engine
        return engine

    def _engine_or_none(self) -> Engine | None:
        with self._lock:
            if self._engine is None and self._no_engine is None:
                try:
                    self._engine = self._engine_of()
                except (MissingToolError, TemporaryError) as error:
                    self._no_engine = error
            return self._engine

    def _registry(self, host: str) -> Registry:
        with self._lock:
            if host not in self._registries:
                self._registries[host] = Registry(host, self._credentials(host))
            return self._registries[host]

    def _ambient(self, host: str) -> Credentials | None:
        if host not in self._known:
            known = docker_credentials(host)
            self._known[host] = self._ecr.credentials(host) if not known and is_ecr(host) else known
        return self._known[host]
