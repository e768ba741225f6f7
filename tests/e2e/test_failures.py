"""What goes wrong in a run is told: the exit status, the reason, the end of the log."""

from __future__ import annotations

from pathlib import Path

from tests.command import python, service
from tests.runs import SHOUT, Workshop, jobs_of

ONE = {"x.txt": b"x"}
FAIL = "for n in $(seq 50); do echo line $n; done\necho the last words >&2\nexit 7\n"


def one(shop: Workshop, script: str, more: str = "") -> Path:
    return shop.fdl(service("work", takes=["data/in"], gives=["data/out"], more=more), work=script)


def test_a_failing_script(shop: Workshop) -> None:
    done = shop.run(one(shop, FAIL), shop.inputs(ONE))
    assert done.status == 1
    assert not done.json["ok"] and done.json["complete"]
    (job,) = done.json["jobs"]
    assert (job["state"], job["exit_code"], job["attempt"]) == ("failed", 7, 1)
    assert "exit status 7" in job["reason"]
    assert len(job["log"]) == 20
    assert "the last words" in job["log"] and "line 50" in job["log"]
    assert job["outputs"] == [] and shop.fetched() == {}


def test_a_person_sees_the_reason_and_the_end_of_the_log(shop: Workshop) -> None:
    done = shop.run(one(shop, FAIL), shop.inputs(ONE), more="")
    assert done.status == 1
    assert "work on here failed, exit code 7: " in done.out
    assert "input data/in/x.txt" in done.out
    assert "│ line 50" in done.out and "│ the last words" in done.out
    assert "line 10\n" not in done.out
    assert "1 job in " in done.out and "1 did not succeed" in done.out


def test_what_failed_stops_its_branch_only(shop: Workshop) -> None:
    script = 'case "$INPUT_FILE_PATH" in *bad*) exit 3;; esac\n' + SHOUT
    fdl = shop.fdl(
        service("first", takes=["data/in"], gives=["data/mid"]),
        service("second", takes=["data/mid"], gives=["data/out"]),
        first=script,
        second=SHOUT,
    )
    done = shop.run(fdl, shop.inputs({"bad.txt": b"b", "good.txt": b"g"}))
    assert done.status == 1
    assert sorted(job["state"] for job in jobs_of(done, "first")) == ["failed", "succeeded"]
    assert [job["state"] for job in jobs_of(done, "second")] == ["succeeded"]
    assert shop.fetched() == {"second/good.txt": b"G"}


def test_a_script_that_runs_out_of_its_time(shop: Workshop) -> None:
    script = "echo begun\nsleep 300 &\nsetsid sleep 301 &\nsleep 302\n"
    fdl = one(shop, script, more="timeout: 1")
    done = shop.run(fdl, shop.inputs(ONE))
    assert done.status == 1
    (job,) = done.json["jobs"]
    assert job["state"] == "failed"
    assert job["exit_code"] == 124
    assert "time was over" in job["reason"]
    assert "begun" in job["log"]


def test_a_run_that_runs_out_of_its_time(shop: Workshop) -> None:
    done = shop.run(
        one(shop, "echo begun\nsleep 300\n"), shop.inputs(ONE), more="--json --timeout 3"
    )
    assert done.status == 1
    assert not done.json["ok"] and not done.json["complete"]
    (job,) = done.json["jobs"]
    assert job["state"] == "running" and job["exit_code"] is None
    assert "begun" in job["log"]
    told = shop.run(one(shop, "echo begun\nsleep 300\n"), shop.inputs(ONE), more="--timeout 3")
    assert told.status == 1
    assert "not complete when the time was up" in told.out


def test_a_script_that_is_killed(shop: Workshop) -> None:
    done = shop.run(one(shop, "kill -SEGV $$\n"), shop.inputs(ONE))
    assert done.status == 1
    (job,) = done.json["jobs"]
    assert job["state"] == "failed"
    assert "SIGSEGV" in job["reason"]


def test_a_script_that_kills_its_supervisor_is_tried_again(shop: Workshop) -> None:
    """As on a cluster that loses a node: not the job's own fault, so there are more attempts."""
    mark = shop.folder / "mark"
    script = f"if mkdir {mark}; then kill -KILL $PPID; sleep 60; fi\n{SHOUT}"
    done = shop.run(one(shop, script), shop.inputs(ONE))
    assert done.status == 0, (done.err, done.out)
    (job,) = done.json["jobs"]
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    assert shop.fetched() == {"work/x.txt": b"X"}


def test_a_missing_interpreter(shop: Workshop) -> None:
    done = shop.run(one(shop, "#!/no/such/shell\n"), shop.inputs(ONE))
    assert done.status == 1
    (job,) = done.json["jobs"]
    assert job["exit_code"] == 127
    assert "/no/such/shell" in job["reason"]


VANISH = """
import sys
from bridge.local.session import Session
feed = Session.feed
def without(session, handovers):
    place = session.document.services[0].outputs[0]
    store = session._places._stores[place.provider]
    store._minio().remove_bucket(place.bucket)
    feed(session, handovers)
Session.feed = without
from bridge.cli.main import main
main()
"""


def test_an_output_bucket_that_vanishes(shop: Workshop) -> None:
    fdl = shop.fdl(service("work", takes=["data/in"], gives=["gone/out"]), work=SHOUT)
    arguments = shop.arguments(fdl, shop.inputs(ONE))
    done = python(VANISH, *arguments, "--json", env=shop.env)
    assert done.status == 1, done.err
    (job,) = done.json["jobs"]
    assert job["state"] == "failed"
    assert "gone" in job["reason"]


def test_an_output_that_leads_out_of_the_work_folder(shop: Workshop) -> None:
    done = shop.run(one(shop, 'ln -s /etc/passwd "$TMP_OUTPUT_DIR/loot"\n'), shop.inputs(ONE))
    assert done.status == 1
    assert "loot" in done.json["jobs"][0]["reason"]
    assert shop.fetched() == {}


def test_results_that_cannot_be_written(shop: Workshop) -> None:
    shop.results.mkdir()
    (shop.results / "work").write_text("a file where a folder must be")
    done = shop.run(one(shop, SHOUT), shop.inputs(ONE))
    assert done.status == 1
    assert not done.json["ok"]
    assert done.json["jobs"][0]["state"] == "succeeded"
    (problem,) = done.json["problems"]
    assert "data/out/x.txt" in problem and "cannot be fetched" in problem
    assert "Traceback" not in done.err
