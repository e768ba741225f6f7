"""From a document and measurements to a snapshot."""

from __future__ import annotations

from dataclasses import replace

from bridge.fdl.model import Document
from bridge.scheduler import Estimate, TargetState, snapshot_of
from tests.scheduler.make import CLUSTER, FUNCTIONS, QUEUE

DOCUMENT = Document("f.yaml", (), targets={s.name: s for s in (QUEUE, CLUSTER, FUNCTIONS)})


def test_one_state_for_each_target_in_the_files_order() -> None:
    now = snapshot_of(DOCUMENT)
    assert now.targets == (TargetState(QUEUE), TargetState(CLUSTER), TargetState(FUNCTIONS))
    assert now.taken == ""


def test_measurements_are_taken_with_the_documents_own_target() -> None:
    seen = TargetState(replace(CLUSTER, slots=99), running=3, runs={"a": Estimate(1.0, 0.5)})
    now = snapshot_of(DOCUMENT, {"my-cluster": seen}, taken="2026-01-02T03:04:05Z")
    assert now.targets[1] == replace(seen, spec=CLUSTER)
    assert now.targets[0] == TargetState(QUEUE)
    assert now.taken == "2026-01-02T03:04:05Z"


def test_what_the_document_does_not_name_is_left_out() -> None:
    assert snapshot_of(DOCUMENT, {"old": TargetState(CLUSTER)}) == snapshot_of(DOCUMENT)
