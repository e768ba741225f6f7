"""What OSCAR's API does not have: jobs across services, decisions, dead letters, cost."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import pytest

from bridge.dispatch import Change
from bridge.targets import JobState

from .conftest import Live
from .test_jobs import finished, jobs_of

PATH = "/api/v1"


def dead(live: Live, name: str) -> str:
    """A job of the service that was given up."""
    with pytest.MonkeyPatch.context() as patch:
        # Nothing is placed meanwhile: the job is where it was accepted.
        patch.setattr(live.manager.parts.jobs, "claim", lambda *_, **__: [])
        assert live.ask("POST", f"/job/{name}", b"lost").status == 201
        (record,) = live.manager.parts.jobs.jobs(service=name, newest=True, limit=1)
        change = Change(record.id, 1, JobState.DEAD, time.time(), reason="given up")
        assert live.manager.parts.jobs.change([change]) != [None]
    return record.id


def test_jobs_are_found_by_service_state_and_target(live: Live) -> None:
    name = live.create(script='grep -q good "$INPUT_FILE_PATH"')
    for body in (b"good 1.", b"bad 2..", b"good 3.", b"good 4."):
        assert live.ask("POST", f"/job/{name}", body).status == 201
    finished(live, name, 4)
    first = live.ask("GET", f"{PATH}/jobs?service={name}").json
    assert len(first["jobs"]) == 3
    rest = live.ask("GET", f"{PATH}/jobs?service={name}&page={first['next_page']}").json
    assert (len(rest["jobs"]), "next_page" in rest) == (1, False)
    accepted = [one["accepted"] for one in first["jobs"] + rest["jobs"]]
    assert accepted == sorted(accepted, reverse=True)
    (failed,) = live.ask("GET", f"{PATH}/jobs?service={name}&state=failed,dead").json["jobs"]
    assert (failed["state"], failed["exit_code"], failed["target"]) == ("failed", 1, "local")
    assert live.ask("GET", f"{PATH}/jobs?service={name}&target=elsewhere").json == {"jobs": []}
    newest = live.ask("GET", f"{PATH}/jobs?limit=1").json["jobs"]
    assert [one["service"] for one in newest] == [name]
    for wrong in ("state=lost", "page=nothing", "limit=0", "limit=x"):
        answer = live.ask("GET", f"{PATH}/jobs?{wrong}")
        assert (answer.status, list(answer.json)) == (400, ["error"]), wrong


def test_a_job_says_its_way_and_why_it_went_there(live: Live) -> None:
    name = live.create()
    assert live.ask("POST", f"/job/{name}", b"x").status == 201
    (job,) = finished(live, name)
    found = live.ask("GET", f"{PATH}/jobs/{job}").json
    states = [step["state"] for step in found["timeline"]]
    assert states == ["accepted", "placed", "submitted", "running", "succeeded"]
    at = [step["at"] for step in found["timeline"]]
    assert at[0] <= at[1] <= at[2]
    (decision,) = found["decisions"]
    assert decision["target"] == "local"
    assert [one["target"] for one in decision["candidates"]] == ["local"]
    assert found["report"]["exit_code"] == 0
    plan = live.ask("GET", f"{PATH}/services/{name}/plan").json
    assert (plan["target"], plan["candidates"][0]["feasible"]) == ("local", True)
    over = live.ask("POST", f"{PATH}/jobs/{job}/cancel")
    assert (over.status, over.json) == (409, {"error": f"the job {job} is over already"})
    live.ask("DELETE", f"/system/logs/{name}/{job}")
    assert live.ask("GET", f"{PATH}/jobs/{job}").status == 404


def test_a_job_is_ended(live: Live, tmp_path: Path) -> None:
    name = live.create(script="sleep 300")
    live.ask("POST", f"/job/{name}", b"x")
    (job,) = jobs_of(live, name)
    ended = live.ask("POST", f"{PATH}/jobs/{job}/cancel")
    assert (ended.status, ended.json["state"]) == (200, "cancelled")


def test_an_event_is_told_again_as_a_new_job(live: Live, tmp_path: Path) -> None:
    bucket = f"b-{secrets.token_hex(4)}"
    name = live.create(input=[{"storage_provider": "minio", "path": f"{bucket}/in"}])
    (tmp_path / "x").write_text("hello")
    live.store.upload(bucket, "in/x", tmp_path / "x")
    (job,) = finished(live, name)
    again = live.ask("POST", f"{PATH}/jobs/{job}/replay")
    assert again.status == 201
    assert again.json["job"] in finished(live, name, 2).keys() - {job}
    assert live.ask("GET", f"/system/logs/{name}/{again.json['job']}").text.count("got hello") == 1
    # To look at the bucket finds nothing that is new.
    assert live.manager.reconcile() == ()


def test_dead_letters_are_listed_redriven_and_purged(live: Live) -> None:
    name = live.create()
    path = f"{PATH}/dead-letters"
    jobs = [dead(live, name) for _ in range(4)]
    listed = live.ask("GET", f"{path}?service={name}&limit=9").json["jobs"]
    assert [one["id"] for one in listed] == jobs[::-1]
    assert listed[0]["reason"] == "given up"
    made = [live.ask("POST", f"{path}/{jobs[0]}/redrive") for _ in range(2)]
    # It is put away once it has its new job.
    assert [one.status for one in made] == [201, 404]
    assert live.ask("DELETE", f"{path}/{jobs[1]}").status == 204
    all_ = live.ask("POST", f"{path}/redrive?service={name}").json
    assert (len(all_["jobs"]), all_["more"]) == (2, False)
    assert live.ask("GET", f"{path}?service={name}").json == {"jobs": []}
    done = finished(live, name, 3)
    assert done.keys() == {made[0].json["job"], *all_["jobs"]}
    assert live.ask("POST", f"{path}/{all_['jobs'][0]}/redrive").status == 409
    last = dead(live, name)
    assert live.ask("DELETE", f"{path}?service={name}").status == 204
    assert live.ask("GET", f"{PATH}/jobs/{last}").status == 404


def test_what_jobs_cost(live: Live) -> None:
    name = live.create()
    live.ask("POST", f"/job/{name}", b"x")
    finished(live, name)
    found = live.ask("GET", f"{PATH}/cost").json
    (item,) = [one for one in found["items"] if one["service"] == name]
    assert (item["target"], item["runs"], float(item["cost"])) == ("local", 1, 0.0)
    assert item["seconds"] > 0
    assert found["currency"] == "USD"


def test_what_was_learned(live: Live) -> None:
    name = live.create(script="sleep 0.05")
    for body in (b"1", b"2", b"3"):
        assert live.ask("POST", f"/job/{name}", body).status == 201
    finished(live, name, 3)
    known, store = live.manager.dispatcher.known, live.manager.parts.jobs
    while store.lessons(1):
        known.learn()
    found = live.ask("GET", f"{PATH}/estimates?service={name}").json
    (run,) = found["runs"]
    assert (run["target"], run["samples"], run["compared"]) == ("local", 3, 3)
    assert 0.045 < run["run"] < 60
    assert run["error"] > 0
    assert found["spent"] == {name: {"day": "0", "month": "0"}}
    (place,) = found["targets"]
    assert (place["target"], place["breaker"], place["failures"]) == ("local", "closed", 0.0)
    plan = live.ask("GET", f"{PATH}/services/{name}/plan").json
    assert plan["candidates"][0]["run"] == pytest.approx(run["run"])
    assert live.ask("GET", f"{PATH}/estimates?service=absent").status == 404


def test_errors_are_json(live: Live) -> None:
    for path in ("/jobs/absent", "/nothing", "/services/absent/plan", "/jobs?limit=x"):
        answer = live.ask("GET", PATH + path)
        assert answer.status in (400, 404)
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert list(answer.json) == ["error"]
