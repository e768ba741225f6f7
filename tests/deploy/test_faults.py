"""What goes wrong while stacks are made, and what is left then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bridge.deploy import Pace, Silent, apply, destruction, drift, plan, restoration
from bridge.deploy._lock import locked
from bridge.errors import NotFoundError, PermanentError
from tests.deploy.assemblies import PACE, Bench, definition, function, queue, role
from tests.deploy.test_apply import Notes, applied, planned, rows

BROKEN = {
    "Broken": {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {"FunctionName": "no-such-function", "EventSourceArn": "arn:aws:sqs:x:1:y"},
    }
}


def failing(bench: Bench) -> dict[str, Any]:
    """Resources of which one cannot be made."""
    return {**bench.one(), **BROKEN}


def test_a_failed_creation_says_what_and_why_and_the_next_apply_starts_anew(bench: Bench) -> None:
    with pytest.raises(PermanentError) as failed:
        applied(bench, bench.assembly(failing(bench)))
    assert "Broken" in failed.value.message and bench.stack_name in failed.value.message
    assert "EventSourceMapping" in failed.value.message
    assert failed.value.hint
    assert bench.status() == "ROLLBACK_COMPLETE"
    assert bench.status(bench.prefix) == "CREATE_COMPLETE"
    made = planned(bench, bench.assembly())
    (step,) = [one for one in made.changes if one.name == bench.stack_name]
    assert step.action == "create" and "ROLLBACK_COMPLETE" in step.why
    applied(bench, bench.assembly())
    assert bench.status() == "CREATE_COMPLETE"


def test_a_failed_update_leaves_the_last_good_state(bench: Bench) -> None:
    applied(bench, bench.assembly())
    wrong = failing(bench) | {"Queue": queue(f"{bench.prefix}-one-q", VisibilityTimeout=99)}
    with pytest.raises(PermanentError) as failed:
        applied(bench, bench.assembly(wrong))
    assert "last good state" in failed.value.hint
    assert bench.status() == "UPDATE_ROLLBACK_COMPLETE"
    url = bench.client("sqs").get_queue_url(QueueName=f"{bench.prefix}-one-q")["QueueUrl"]
    told = bench.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    assert told["Attributes"]["VisibilityTimeout"] == "30"
    applied(bench, bench.assembly(bench.one(VisibilityTimeout=98)))


def test_rollback_goes_back_one_state_at_a_time(bench: Bench) -> None:
    for seconds in (10, 20, 30):
        applied(bench, bench.assembly(bench.one(VisibilityTimeout=seconds)))

    def visibility() -> str:
        url = bench.client("sqs").get_queue_url(QueueName=f"{bench.prefix}-one-q")["QueueUrl"]
        told = bench.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return str(told["Attributes"]["VisibilityTimeout"])

    def back(to: int = 0) -> int:
        made = restoration(bench.name, bench.account, to=to, pace=PACE)
        return apply(made, bench.account, replan=lambda: made, pace=PACE).number

    assert visibility() == "30"
    assert back() == 4 and visibility() == "20"
    assert back() == 5 and visibility() == "10"
    with pytest.raises(NotFoundError, match="no earlier state"):
        back()
    assert back(to=3) == 6 and visibility() == "30"
    with pytest.raises(NotFoundError, match="entry 77"):
        back(to=77)


def test_destroy_keeps_data_and_the_base_until_nobody_needs_it(bench: Bench) -> None:
    applied(bench, bench.assembly())
    bench.account.put("keep/me", b"data")
    made = destruction(bench.name, bench.account, pace=PACE)
    assert rows(made)[bench.stack_name] == "delete" and bench.prefix not in rows(made)

    def destroy(*, everything: bool) -> Silent:
        watch = Silent()

        def again() -> Any:
            return destruction(bench.name, bench.account, everything=everything, pace=PACE)

        apply(again(), bench.account, replan=again, watch=watch, pace=PACE)
        return watch

    destroy(everything=False)
    assert bench.status() in ("", "DELETE_COMPLETE")
    assert bench.status(bench.prefix) == "CREATE_COMPLETE"
    with pytest.raises(NotFoundError):
        destruction(bench.name, bench.account, pace=PACE)
    last = destruction(bench.name, bench.account, everything=True, pace=PACE)
    assert any(bench.account.bucket in note and "stays" in note for note in last.notes)
    destroy(everything=True)
    assert bench.status(bench.prefix) in ("", "DELETE_COMPLETE")
    assert bench.account.get("keep/me") == b"data"


def test_the_base_stays_for_others(bench: Bench) -> None:
    applied(bench, bench.assembly())
    other = Bench(bench.endpoint, bench.prefix, bench.folder / "other", name="other")
    resources = {"Q": queue(f"{bench.prefix}-other")}
    applied(other, other.assembly(resources))
    made = destruction(bench.name, bench.account, everything=True, pace=PACE)
    assert bench.prefix not in rows(made)
    assert any("other needs it" in note for note in made.notes)


def test_drift_tells_what_was_changed_and_deleted_by_hand(bench: Bench) -> None:
    folder = bench.base(bench.new())
    code = folder.code("def handler(event, context): return 1")
    names = [f"{bench.prefix}-{one}" for one in "abc"]
    resources = {
        "Role": role(),
        "A": function(names[0], code, MemorySize=256),
        "B": function(names[1], code),
        "Job": definition(names[2]),
    }
    folder.stack(bench.stack_name, resources, deployment=bench.name)
    applied(bench, folder.read(bench.name))
    assert not drift(bench.name, bench.account, pace=PACE).drifted
    bench.client("lambda").update_function_configuration(FunctionName=names[0], MemorySize=512)
    bench.client("lambda").delete_function(FunctionName=names[1])
    bench.client("batch").deregister_job_definition(jobDefinition=f"{names[2]}:1")
    report = drift(bench.name, bench.account, pace=PACE)
    found = {one.name: one for one in report.drifted}
    assert {name: one.state for name, one in found.items()} == {
        names[0]: "modified",
        names[1]: "deleted",
        names[2]: "deleted",
    }
    (row,) = found[names[0]].properties
    assert (row.path, row.before.strip('"'), row.after.strip('"')) == ("MemorySize", "256", "512")
    with pytest.raises(NotFoundError):
        drift("nothing", bench.account, pace=PACE)


def test_two_applies_at_once_both_end_well(bench: Bench) -> None:
    one = bench.assembly(bench.one(VisibilityTimeout=11))
    two = bench.assembly(bench.one(VisibilityTimeout=22))
    errors: list[BaseException] = []

    def run(assembly: Any) -> None:
        other = Bench(bench.endpoint, bench.prefix, bench.folder)

        def again() -> Any:
            return plan(assembly, other.account, pace=PACE)

        try:
            apply(again(), other.account, replan=again, watch=Notes(), pace=PACE)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(each,)) for each in (one, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    assert bench.status() in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
    assert planned(bench, one).empty != planned(bench, two).empty


def test_a_plan_that_is_old_is_made_again_and_asked_about(bench: Bench) -> None:
    applied(bench, bench.assembly())
    mine = bench.assembly(bench.one(VisibilityTimeout=5))
    old = planned(bench, mine)
    applied(bench, bench.assembly({**bench.one(), "More": queue(f"{bench.prefix}-more")}))
    asked: list[Any] = []

    def agree(new: Any) -> bool:
        asked.append(new)
        return False

    with pytest.raises(PermanentError, match="nothing was changed"):
        apply(old, bench.account, replan=lambda: planned(bench, mine), agree=agree, pace=PACE)
    assert rows(asked[0])[f"{bench.prefix}-more"] == "delete"


def test_the_lock_is_waited_for_and_taken_over_from_the_dead(bench: Bench) -> None:
    applied(bench, bench.assembly())
    watch = Notes()
    order: list[str] = []

    def second() -> None:
        with locked(bench.account, bench.name, watch, sleep=lambda _: time.sleep(0.02)) as waited:
            order.append(f"second {waited}")

    with locked(bench.account, bench.name, watch) as waited:
        assert not waited
        thread = threading.Thread(target=second)
        thread.start()
        while not watch.notes:
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second True"]
    assert "is applying this deployment" in watch.notes[0]
    child = subprocess.Popen(["true"])
    child.wait()
    body = {"owner": "x", "who": "x", "host": os.uname().nodename, "pid": child.pid, "until": 9e12}
    bench.account.put(f"deployments/{bench.name}/lock.json", json.dumps(body).encode())
    with locked(bench.account, bench.name, watch) as waited:
        assert not waited
    assert bench.account.get(f"deployments/{bench.name}/lock.json") is None


# Applies an assembly in a process of its own that kills itself when a line says so.
KILLED = """
import os, signal, sys
from pathlib import Path
from bridge.deploy import Silent, apply, plan
from bridge.targets.aws import Account, AccountSettings
from tests.deploy.assemblies import PACE, Folder
prefix, folder, name, url, moment = sys.argv[1:6]
account = Account(AccountSettings(name=prefix, region="us-east-1", endpoint=url))
class Killer(Silent):
    def step(self, text):
        print(text, flush=True)
        if moment in text:
            os.kill(os.getpid(), signal.SIGKILL)
    event = step
made = Folder(Path(folder), account).read(name)
again = lambda: plan(made, account, pace=PACE)
apply(again(), account, replan=again, watch=Killer(), pace=PACE)
print("done", flush=True)
"""


@pytest.mark.parametrize("moment", ["asset ", "PREFIX: creating", "APP: creating", "Fn: create"])
def test_an_apply_that_was_killed_is_finished_by_the_next(bench: Bench, moment: str) -> None:
    folder = bench.base(bench.new())
    code = folder.code("def handler(event, context): return 1")
    resources = {**bench.one(), "Role": role(), "Fn": function(f"{bench.prefix}-fn", code)}
    folder.stack(bench.stack_name, resources, deployment=bench.name, after=(bench.prefix,))
    text = moment.replace("PREFIX", f"stack {bench.prefix}").replace("APP", bench.stack_name)
    words = [bench.prefix, str(folder.path), bench.name, bench.endpoint.url]
    root = Path(__file__).parents[2]
    env = {**os.environ, **bench.endpoint.environment(), "PYTHONPATH": str(root)}

    def run(when: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILLED, *words, when]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    first = run(text)
    assert first.returncode == -signal.SIGKILL, first.stdout + first.stderr
    second = run("never")
    assert second.returncode == 0, second.stderr
    assert planned(bench, folder.read(bench.name)).empty
    assert bench.client("lambda").get_function(FunctionName=f"{bench.prefix}-fn")


def test_pace_grows_and_ends() -> None:
    slept: list[float] = []
    beats = Pace(first=1.0, last=3.0, patience=0.05, sleep=slept.append).beats()
    for _ in range(5):
        next(beats)
    assert slept == [1.0, 1.5, 2.25, 3.0]
    time.sleep(0.06)
    assert next(beats, None) is None
    assert slept[-1] == 3.0


def test_a_name_that_is_taken_elsewhere_is_said_with_its_resource(bench: Bench) -> None:
    assembly = bench.assembly()
    made = planned(bench, assembly)
    # Between plan and apply somebody takes the bucket's name.
    bench.client("s3").create_bucket(Bucket=bench.account.bucket)
    with pytest.raises(PermanentError) as failed:
        apply(made, bench.account, replan=lambda: made, pace=PACE)
    assert "Work" in failed.value.message and "DescribeEvents" not in failed.value.message
