"""Where AWS finds the MinIO of a cluster, when the file does not say it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.deploy import reaching, unreached
from bridge.fdl import parse
from bridge.fdl.model import Document, ProviderRef
from bridge.secret import Secret

MINIO = ProviderRef("minio")
FDL = """
functions:
  aws:
  - lambda: {name: a, container: {image: i}, init_script: s,
             output: [{storage_provider: minio, path: mmm/2}]}
  - lambda: {name: b, container: {image: i}, init_script: s,
             output: [{storage_provider: s3, path: bbb/2}]}
"""
SAID = "storage_providers: {minio: {default: {endpoint: 'https://here', access_key: a}}}\n"


class Cluster:
    """A client that knows its store."""

    def storage(self) -> tuple[dict[str, Any], dict[str, Secret]]:
        return {"endpoint": "https://store"}, {"access_key": Secret("key")}


def reached(document: Document, name: str, clients: Mapping[str, Any]) -> Any:
    made = reaching(document, [name], clients)
    return made.providers[MINIO].settings["endpoint"] if MINIO in made.providers else None


def test_the_files_one_cluster_is_asked_where_the_file_says_nothing() -> None:
    here = parse(FDL)
    assert unreached(here, ["a", "b"]) and not unreached(here, ["b"])
    assert reached(here, "a", {"one": Cluster()}) == "https://store"
    secrets = reaching(here, ["a"], {"one": Cluster()}).providers[MINIO].secrets  # type: ignore[dict-item]
    assert secrets["access_key"].reveal() == "key"
    assert reached(here, "b", {"one": Cluster()}) is None
    assert reached(here, "a", {}) is None
    assert reached(here, "a", {"one": Cluster(), "two": Cluster()}) is None
    assert reached(parse(FDL + SAID), "a", {"one": Cluster()}) == "https://here"
