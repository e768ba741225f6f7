"""A cloud assembly of the CDK on disk → `Assembly`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from bridge.deploy.model import Assembly, FileAsset, Stack
from bridge.errors import PermanentError, UnsafePathError

__all__ = ["read_assembly"]

_STACK: Final = "aws:cloudformation:stack"
_ASSETS: Final = "cdk:asset-manifest"
_PLACEHOLDER: Final = re.compile(r"\$\{AWS::(Partition|AccountId|Region)\}")
_REGION: Final = re.compile(r"aws://[^/]+/(?P<region>[a-z0-9-]+)")


@dataclass(frozen=True, slots=True)
class _Place:
    folder: Path
    names: Mapping[str, str]

    def json(self, name: str) -> dict[str, Any]:
        path = self.path(name)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise PermanentError(f"cannot read {path} of the assembly: {error}") from error
        if not isinstance(found, dict):
            raise PermanentError(f"{path} of the assembly is not a JSON object")
        return found

    def path(self, name: str) -> Path:
        """A file of the assembly; a name that leaves the folder is refused."""
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise UnsafePathError(f"the assembly names a file outside of itself: {name}")
        return path

    def filled(self, text: str) -> str:
        """With the account, region and partition in the place of their names."""
        return _PLACEHOLDER.sub(lambda found: self.names[found[1]], text)


def read_assembly(
    folder: Path, *, name: str, base: str, account: str, region: str, partition: str = "aws"
) -> Assembly:
    """Read `manifest.json`, the templates and the lists of assets.

    PermanentError for what cannot be deployed without the CDK's command line: images that are
    built by it, nested assemblies, and files that are not there.
    """
    place = _Place(folder, {"AccountId": account, "Region": region, "Partition": partition})
    artifacts: dict[str, Any] = place.json("manifest.json").get("artifacts", {})
    if any(one.get("type") == "cdk:cloud-assembly" for one in artifacts.values()):
        raise PermanentError("the assembly has stages, which only `cdk deploy` can deploy")
    stacks = {
        key: _stack(place, key, artifacts)
        for key, one in artifacts.items()
        if one.get("type") == _STACK
    }
    told = [row for one in artifacts.values() for row in _said(place, one)]
    if wrong := [text for kind, text in told if kind == "aws:cdk:error"]:
        raise PermanentError("\n".join(wrong))
    notes = tuple(text for kind, text in told if kind == "aws:cdk:warning")
    return Assembly(name, base, tuple(_ordered(stacks, base)), notes=notes)


def _said(place: _Place, artifact: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Kind and text of what the app has to say of an artifact."""
    file = artifact.get("additionalMetadataFile")
    known = {**artifact.get("metadata", {}), **(place.json(file) if file else {})}
    for rows in known.values():
        for row in rows:
            if isinstance(row.get("data"), str):
                # The CDK adds the id by which a warning may be silenced.
                yield row["type"], row["data"].partition(" [ack: ")[0]


def _stack(place: _Place, key: str, artifacts: Mapping[str, Any]) -> Stack:
    artifact = artifacts[key]
    told: dict[str, Any] = artifact.get("properties", {})
    file = str(told["templateFile"])
    others = [name for name in artifact.get("dependencies", ()) if name in artifacts]
    lists = [
        str(artifacts[one]["properties"]["file"]) for one in others if _is_list(artifacts, one)
    ]
    where = _REGION.match(str(artifact.get("environment", "")))
    region = where["region"] if where else ""
    return Stack(
        name=str(told.get("stackName") or key),
        template=place.json(file),
        tags={str(name): str(value) for name, value in (told.get("tags") or {}).items()},
        region="" if region == "unknown-region" else region,
        protected=bool(told.get("terminationProtection")),
        assets=tuple(asset for one in lists for asset in _files(place, one, file)),
        after=tuple(one for one in others if artifacts[one].get("type") == _STACK),
    )


def _is_list(artifacts: Mapping[str, Any], name: str) -> bool:
    return bool(artifacts[name].get("type") == _ASSETS)


def _files(place: _Place, listing: str, template: str) -> Iterator[FileAsset]:
    """The assets but the template itself, which travels another way."""
    listed = place.json(listing)
    if images := listed.get("dockerImages"):
        raise PermanentError(
            f"{listing} has {len(images)} images that the CDK builds", hint="use `cdk deploy`"
        )
    for one in listed.get("files", {}).values():
        source = one.get("source", {})
        if "path" not in source:
            raise PermanentError(
                f"{listing} has a file that a program makes", hint="use `cdk deploy`"
            )
        if source["path"] == template:
            continue
        packaging: Literal["file", "zip"] = "zip" if source.get("packaging") == "zip" else "file"
        for to in one.get("destinations", {}).values():
            bucket, key = place.filled(to["bucketName"]), place.filled(to["objectKey"])
            yield FileAsset(place.path(source["path"]), packaging, bucket, key)


def _ordered(stacks: Mapping[str, Stack], base: str) -> Iterator[Stack]:
    """The base first, each after those that it depends on, else as listed."""
    done: set[str] = set()

    def visit(key: str, path: tuple[str, ...]) -> Iterator[Stack]:
        if key in done or key in path:
            return
        for other in stacks[key].after:
            yield from visit(other, (*path, key))
        done.add(key)
        yield stacks[key]

    for key in sorted(stacks, key=lambda one: stacks[one].name != base):
        yield from visit(key, ())
