"""`jobs`, `job` and `logs` of jobs that really ran, and of those that failed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from bridge.operate.lines import Line, follow
from tests.command import COMMAND, environment
from tests.operate.world import World
from tests.waiting import eventually


def lines(said: str) -> list[str]:
    """What the runs wrote, without time and place."""
    return [line.split(" ", 2)[-1].strip() for line in said.splitlines()]


def test_jobs_are_listed_newest_first_and_by_state(world: World) -> None:
    first = world.ended("shout", "list-1.txt")
    second = world.ended("shout", "list-2.txt")
    failed = world.ended("broken", "list-3.txt")
    found = [one["id"] for one in world.ok("jobs", "shout")["jobs"]]
    assert found.index(second.id) < found.index(first.id)
    everything = {one["id"]: one for one in world.ok("jobs")["jobs"]}
    assert everything[failed.id]["exit_code"] == 7
    assert everything[first.id]["input"] == "day-two/shout/in/list-1.txt"
    only = world.ok("jobs", "--state", "failed")["jobs"]
    assert failed.id in {one["id"] for one in only}
    assert {one["state"] for one in only} == {"failed"}
    assert len(world.ok("jobs", "-n", "1")["jobs"]) == 1
    assert first.id in world.run("jobs", "shout").out


def test_a_job_shows_its_decision_attempts_and_outputs(world: World) -> None:
    job = world.ended("shout", "one.txt")
    found = world.ok("job", job.id)
    assert found["state"] == "succeeded"
    assert found["decision"]["target"] == "aws-lambda"
    assert {c["target"] for c in found["decision"]["candidates"]} >= {"aws-lambda", "aws-batch"}
    assert [one["number"] for one in found["attempts"]] == [1]
    said = world.run("job", job.id).out
    assert job.id in said and "aws-lambda" in said and "shout/in/one.txt" in said


def test_decisions_are_explained_and_taken_again(world: World) -> None:
    job = world.ended("shout", "why.txt")
    found = world.ok("explain", job.id)
    assert (found["job"], found["state"], found["constraints"]["pin"]) == (
        job.id,
        "succeeded",
        "aws-lambda",
    )
    assert found["decisions"][-1]["target"] == found["actual"]["target"] == "aws-lambda"
    now = world.ok("explain", "shout")
    assert (now["job"], now["decisions"][0]["target"]) == ("", "aws-lambda")
    (side,) = world.ok("replay", "--policy", "cheapest", "--service", "shout")["sides"]
    (row,) = side["comparisons"]
    assert row["jobs"] == side["jobs"] > 0 == row["elsewhere"]
    assert row["actual"]["jobs"] == row["jobs"]
    later = ("replay", "--policy", "cheapest", "--since", "2099-01-01")
    assert world.ok(*later)["sides"][0]["jobs"] == 0
    assert "no job and no service nobody" in world.run("explain", "nobody").failed(1)


def test_a_job_that_nobody_knows_is_an_error(world: World) -> None:
    known = world.ended("shout", "known.txt").id
    for job in ("shout-0", known[:-1]):
        assert f"no job {job}" in world.run("job", job).failed(1)
        assert f"no job {job}" in world.run("logs", "shout", "--job", job).failed(1)


@pytest.mark.parametrize(
    ("service", "said", "place"),
    [
        ("shout", "shouting logs.txt", "lambda"),
        ("count", "counting", "batch"),
        ("broken", "about to break", "lambda"),
        ("broken-batch", "breaking in batch", "batch"),
    ],
)
def test_logs_of_a_job_wherever_it_ran_and_however_it_ended(
    world: World, service: str, said: str, place: str
) -> None:
    job = world.ended(service, "logs.txt")
    other = world.ended(service, "other.txt")

    def told() -> list[dict[str, str]]:
        done = world.run("logs", service, "--job", job.id, "--json")
        assert done.status == 0, done.err
        found = [json.loads(line) for line in done.out.splitlines()]
        return found if any(said in one["text"] for one in found) else []

    found = eventually(told)
    assert {one["place"] for one in found} == {place}
    assert not [one for one in found if other.id in one["text"]]


def test_logs_say_why_a_job_failed(world: World) -> None:
    job = world.ended("broken-batch", "why.txt")
    done = world.run("logs", "broken-batch", "--job", job.id)
    assert done.status == 0
    assert f"job {job.id} failed" in done.err


def test_logs_of_another_services_job_lead_to_it(world: World) -> None:
    job = world.ended("shout", "lost.txt")
    said = world.run("logs", "count", "--job", job.id).failed(1)
    assert f"logs shout --job {job.id}" in said


def test_logs_of_a_service_are_in_order_of_time(world: World) -> None:
    world.ended("shout", "order-1.txt")
    world.ended("shout", "order-2.txt")
    out = eventually(lambda: o if "order-2.txt" in (o := world.run("logs", "shout").out) else "")
    stamps = [line.split(" ")[0] for line in out.splitlines()]
    assert stamps == sorted(stamps)
    said = lines(out)
    assert said.index("shouting order-1.txt") < said.index("shouting order-2.txt")


def test_since_leaves_out_what_was_before(world: World) -> None:
    world.ended("shout", "early.txt")
    eventually(lambda: "early.txt" in world.run("logs", "shout").out)
    time.sleep(1.1)
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    world.ended("shout", "late.txt")
    out = eventually(
        lambda: o if "late.txt" in (o := world.run("logs", "shout", "--since", moment).out) else ""
    )
    assert "early.txt" not in out
    assert "not a time" in world.run("logs", "shout", "--since", "soon").failed(2)


def test_a_job_that_was_handed_over_shows_both_of_its_places(world: World) -> None:
    job = world.ended("slow", "handed.txt")
    assert job.state.value == "succeeded", job.reason

    def told() -> set[str]:
        done = world.run("logs", "slow", "--job", job.id, "--json")
        found = [json.loads(line) for line in done.out.splitlines()]
        places = {one["place"] for one in found if "starting" in one["text"]}
        return places if len(places) == 2 else set()

    assert eventually(told) == {"lambda", "batch"}


def test_following_goes_on_until_it_is_interrupted(world: World) -> None:
    child = subprocess.Popen(
        # Whoever runs the tests in the background may have us ignore Ctrl-C; a user does not.
        ["env", "--default-signal", COMMAND, "logs", "shout", "-f", "--since", "1m"],
        env=environment(**world.env, PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    try:
        world.ended("shout", "followed.txt")
        for line in child.stdout:
            if "followed.txt" in line:
                break
        os.kill(child.pid, signal.SIGINT)
        assert child.wait(30) == 130
        assert child.stderr is not None
        assert "Traceback" not in child.stderr.read()
    finally:
        child.kill()
        child.communicate()


def test_following_a_job_ends_with_it(world: World) -> None:
    job = world.ended("shout", "over.txt")
    done = world.run("logs", "shout", "--job", job.id, "-f")
    assert done.status == 0, done.err
    assert lines(done.out).count("shouting over.txt") == 1


def test_following_tells_each_line_once_and_late_ones_too() -> None:
    old, new = Line(10.0, "lambda", "s", "old", "1"), Line(12.0, "lambda", "s", "new", "2")
    late = Line(11.0, "lambda", "t", "late", "3")
    answers = iter([[old], [old, new], [late, new]])
    asked: list[float] = []

    def read(since: float) -> list[Line]:
        asked.append(since)
        return next(answers)

    told = []
    for line in follow(read, 9.0, pause=0.0):
        told.append(line.text)
        if line is late:
            break
    assert told == ["old", "new", "late"]
    assert max(asked) <= old.at
