"""explain and replay: why jobs are where they are, and what other policies would have done."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from bridge.dispatch import Change, JobRecord, NewJob, SqliteStore
from bridge.events import job_id
from bridge.fdl import load
from bridge.scheduler import Estimate, Snapshot, Trial, as_json, decide, snapshot_of
from bridge.targets import JobState
from manager.jobs import Sight
from tests.cli.test_clusters import NO_AWS, Lab, inside
from tests.command import EXAMPLES, ROOT, Done, plain, terminal, write
from tests.manager.conftest import serve
from tests.manager.test_jobs import finished
from tests.scheduler.make import event

FDL = """
targets:
  slow: {kind: kubernetes}
  dear: {kind: kubernetes, cost_per_hour: 9}
functions:
  bridge:
  - name: anywhere
    image: oscar-bridge/busybox:local
    memory: 64Mi
    cpu: '0.1'
    script: anywhere.sh
    input:
    - {storage_provider: minio, path: data/in}
    placement: {targets: [slow, dear], policy: fastest}
"""
BEGAN = 1_790_000_000.0


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `up --keep` leaves it: ten jobs that a policy and its trials decided."""
    folder = write(tmp_path_factory.mktemp("kept"), {"f.yaml": FDL, "anywhere.sh": "true\n"})
    document = load(folder / "f.yaml")
    (service,) = document.services
    runs = {"slow": 30.0, "dear": 5.0}
    states = tuple(
        replace(one, runs={"anywhere": Estimate(runs.get(one.spec.name, 1.0), 0.9)})
        for one in snapshot_of(document).targets
    )
    trial = Trial.read("cheapest:30%", "balanced")
    with SqliteStore(folder / "jobs.sqlite") as store:
        for n in range(10):
            came = event(key=f"in/{n}.txt")
            job, at = job_id("anywhere", came), BEGAN + n
            store.accept([NewJob(job, "anywhere", came)], at)
            decision = trial.decide(service, came, Snapshot(states), seed=n)
            placed = Change(job, 1, JobState.PLACED, at, target=decision.target,
                            decision=as_json(decision))  # fmt: skip
            running = Change(job, 1, JobState.RUNNING, at + 1, started=at + 1)
            state = JobState.FAILED if n == 9 else JobState.SUCCEEDED
            phases = {"stage_in": 0.5, "script": 5.0, "stage_out": 0.25}
            over = Change(job, 1, state, at + 7, ended=at + 7, report={"phases": phases})
            assert None not in store.change([placed, running, over])
    return folder


def asked(folder: Path, *words: str | Path) -> Done:
    return inside(folder, {**NO_AWS, "HOME": str(folder)}, *words)


def jobs_in(folder: Path) -> list[str]:
    with SqliteStore(folder / "jobs.sqlite") as store:
        return [job.id for job in store.jobs()]


def test_a_stored_decision_is_explained_in_80_columns(kept: Path) -> None:
    with SqliteStore(kept / "jobs.sqlite") as store:
        details = [store.detail(job.id) for job in store.jobs()]
    canaries = [d for d in details if d and d.decisions[0].get("trial") == "canary"]
    assert 0 < len(canaries) < 10
    (job, *_) = (d.job.id for d in canaries)
    said = plain(terminal("explain", job, "--state", str(kept), columns=80, **NO_AWS))
    assert all(len(line) <= 80 for line in said.splitlines()), said
    words = " ".join(said.split())
    for part in (
        f"{job}, a job of anywhere: succeeded",
        "actual on slow, ran after 1.0 s, over after 7.0 s",
        "of that run 5.0 s (foretold 30.0 s), transfer 750 ms (foretold 0 ms)",
        "policy cheapest, a canary",
        "decided by cheapest, a canary, not by fastest",
        "candidate wait start run transfer finish",
        "→ slow 0 ms 5.0 s 30.0 s 0 ms 35.0 s 0.90 0 ms",
        "USD for its time request egress in all",
        "score of term measured value weight adds",
        "slow cost 0 USD 1.000 1.00 1.000",
        "aws-lambda cannot run it:",
        "fastest (primary) would have taken dear: about 10.0 s",
        "balanced (shadow) would have taken",
    ):
        assert part in words, (part, said)


def test_json_is_what_is_stored(kept: Path) -> None:
    job = jobs_in(kept)[0]
    found = asked(kept, "explain", job, "--state", kept, "--json").json
    assert (found["job"], found["service"], found["state"]) == (job, "anywhere", "succeeded")
    assert found["actual"] == {"target": found["decisions"][0]["target"], "wait": 1.0,
                               "seconds": 7.0, "failed": False, "start": None,
                               "script": 5.0, "transfer": 0.75}  # fmt: skip
    with SqliteStore(kept / "jobs.sqlite") as store:
        detail = store.detail(job)
    assert detail is not None
    assert found["decisions"] == json.loads(json.dumps(list(detail.decisions)))
    absent = asked(kept, "explain", "absent", "--state", kept).failed(1)
    assert "no job and no service absent" in absent
    assert "no jobs in" in asked(kept, "explain", "x", "--state", EXAMPLES).failed(1)


def test_the_commands_of_the_page_work_as_they_are_written(kept: Path) -> None:
    """Those of docs/placement.md; what it leaves to the reader is filled in, and where it asks a
    manager the same is asked of what one has kept."""
    text = (ROOT / "docs" / "placement.md").read_text()
    blocks = re.findall(r"^```text\n(oscar-bridge .*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line.partition(" #")[0].split() for block in blocks for line in block.splitlines()]
    assert {line[1] for line in lines} == {"explain", "replay"}
    file, store = str(kept / "f.yaml"), ["--state", str(kept)]
    told = {"JOB": jobs_in(kept)[0], "SERVICE": "anywhere", "resize": "anywhere", "fdl.yaml": file}
    for _, *words in lines:
        given = [told.get(word, word) for word in words]
        for flag in ("--manager", "--state"):
            if flag in given:
                del given[given.index(flag) : given.index(flag) + 2]
        more = store if "--file" in given or given[0] == "explain" else [*store, "--file", file]
        if given[1:2] == ["anywhere"]:  # what a job would get now: only a manager has the services
            given[1] = told["JOB"]
        assert asked(kept, *given, *more).status == 0, given


def replayed(kept: Path, *more: str) -> list[str]:
    return ["replay", "--state", str(kept), "--file", str(kept / "f.yaml"), "--since",
            "2026-01-01", *more]  # fmt: skip


def test_another_policy_over_what_was(kept: Path) -> None:
    found = asked(kept, *replayed(kept, "--policy", "cheapest", "--json")).json
    (side,) = found["sides"]
    rows = {(row["role"], row["policy"]): row for row in side["comparisons"]}
    row = rows["replay", "cheapest"]
    canaries = rows["canary", "cheapest"]["jobs"]
    assert (row["jobs"], row["elsewhere"]) == (10, 10 - canaries)
    assert row["moves"] == [{"from": "dear", "to": "slow", "jobs": 10 - canaries}]
    assert Decimal(row["other"]["cost"]) == 0 < Decimal(row["taken"]["cost"])
    assert (row["actual"]["jobs"], row["actual"]["seconds"], row["actual"]["failed"]) == (10, 70, 1)
    assert rows["shadow", "balanced"]["jobs"] == 10
    ended = {(one["policy"], one["trial"]): one["jobs"] for one in side["ended"]}
    assert ended == {("fastest", ""): 10 - canaries, ("cheapest", "canary"): canaries}
    said = asked(kept, *replayed(kept, "--policy", "cheapest")).out
    assert f"cheapest, decided again: {10 - canaries} of 10 jobs would have gone elsewhere" in said
    assert f"{10 - canaries} from dear to slow" in said
    assert "difference" in said and "actual, by policy" in said


def test_its_own_policy_decides_as_it_did(kept: Path) -> None:
    since = "2099-01-01"
    none = asked(kept, *replayed(kept), "--since", since, "--policy", "fastest", "--json")
    assert none.json["sides"][0]["jobs"] == 0
    (service,) = load(kept / "f.yaml").services
    found = asked(kept, *replayed(kept, "--policy", "fastest", "--json")).json["sides"][0]
    rows = {row["role"]: row for row in found["comparisons"]}
    assert rows["replay"]["elsewhere"] == rows["canary"]["jobs"]
    assert decide(service, None, snapshot_of(load(kept / "f.yaml"))).policy == "fastest"


def test_what_makes_no_sense_is_said(kept: Path) -> None:
    assert "luckiest" in asked(kept, "replay", "--policy", "luckiest").failed(2)
    said = asked(kept, "replay", "--state", kept).failed(2)
    assert "--state and --file go together" in said


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    with ExitStack() as stack:
        trial = Trial.read("fastest:100%", "cheapest")
        yield Lab(serve(folder / "manager", stack, trial=trial), folder)


def test_one_history_is_decided_again_at_a_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    path, statuses = "/api/v1/policies/compare", list[int]()
    within, leave = threading.Event(), threading.Event()

    def held(*_: object) -> list[JobRecord]:
        within.set()
        assert leave.wait(30)
        return []

    monkeypatch.setattr(Sight, "newest", held)
    busy = threading.Thread(target=lambda: statuses.append(lab.live.ask("GET", path).status))
    busy.start()
    assert within.wait(30)
    refused = lab.live.ask("GET", path)
    leave.set()
    busy.join()
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    assert statuses == [200]


def test_a_manager_is_asked(lab: Lab) -> None:
    name = lab.live.create(placement={"deadline": "60s"})
    assert lab.live.ask("POST", f"/job/{name}", b"x").status == 201
    (job,) = finished(lab.live, name)
    found = lab.ok("explain", job)
    (decision,) = found["decisions"]
    assert (decision["trial"], decision["policy"]) == ("canary", "fastest")
    assert [one["role"] for one in decision["instead"]] == ["primary", "shadow"]
    assert found["constraints"]["deadline"] == 60
    assert found["actual"]["target"] == "local"
    now = lab.ok("explain", name)
    assert (now["job"], now["service"], now["decisions"][0]["target"]) == ("", name, "local")
    assert f"{name}: a job that came now" in lab.run("explain", name).out
    (side,) = lab.ok("replay", "--policy", "cheapest", "--service", name)["sides"]
    assert {row["role"]: row["jobs"] for row in side["comparisons"]} == {
        "replay": 1, "canary": 1, "shadow": 1
    }  # fmt: skip
    assert side["left_out"] == {}
    metrics = lab.live.ask("GET", "/metrics").text
    assert 'trial_total{policy="fastest",role="canary",same="true"} 1.0' in metrics
    assert "no job and no service absent" in lab.run("explain", "absent").failed(1)
    wrong = lab.live.ask("GET", "/api/v1/policies/compare?policy=luckiest")
    assert (wrong.status, list(wrong.json)) == (400, ["error"])
    assert lab.live.ask("GET", "/api/v1/policies/compare?service=absent").status == 404
