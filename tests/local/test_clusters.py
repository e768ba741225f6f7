"""Which targets of a session are real clusters, and what is known of them; nothing is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import PermanentError
from bridge.fdl import parse
from bridge.fdl.model import Document
from bridge.local._clusters import Clusters, real_clusters
from bridge.local._here import snapshot

TEXT = """
targets:
  near: {kind: kubernetes, settings: {context: kind-oscar, namespace: mine}}
  some: {kind: kubernetes}
  calls: {kind: knative}
functions:
  oscar:
  - lab:
      name: one
      image: a:1
      script: one.sh
"""


def read(text: str = TEXT) -> Document:
    return parse(text)


def test_a_target_that_names_its_cluster_is_it_and_with_the_flag_all_are() -> None:
    targets = read().targets.values()
    assert list(real_clusters(targets, everything=False)) == ["near"]
    every = real_clusters(targets, everything=True)
    assert sorted(every) == ["calls", "lab", "near", "some"]
    assert every["near"][1].context == "kind-oscar"
    assert every["lab"][1].context == ""


def test_settings_that_make_no_sense_are_refused() -> None:
    doc = read(TEXT.replace("namespace: mine", "namspace: mine"))
    with pytest.raises(PermanentError, match=r"target near: settings.namspace is not a setting"):
        real_clusters(doc.targets.values(), everything=False)


def test_each_target_has_a_namespace_of_the_session_that_anybody_finds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", "one:two/three")
    clusters = Clusters(real_clusters(read().targets.values(), everything=True), "abc")
    found = clusters.namespaces()
    assert sorted(one.name for one in found) == [f"oscar-bridge-abc-{n}" for n in (1, 2, 3, 4)]
    assert {one.kubeconfig for one in found} == {f"{tmp_path}/one:{tmp_path}/two/three"}
    assert clusters and not Clusters({}, "abc")


def test_this_machine_says_nothing_of_a_real_cluster() -> None:
    doc = read()
    clusters = Clusters(real_clusters(doc.targets.values(), everything=False), "abc")
    states = {one.spec.name: one for one in snapshot(doc, "container", clusters).targets}
    assert states["near"].start is None and states["near"].room == {}
    assert states["some"].start is not None
