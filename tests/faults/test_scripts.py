"""Scripts that misbehave: a clear reason, the log kept, nothing left running, nothing twice."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from bridge.targets import JobState
from tests.conformance.places import Place
from tests.conformance.suite import COPY, running

MIB = 2**20


def test_one_that_ignores_sigterm_in_all_its_processes(place: Place) -> None:
    mark = secrets.token_hex(8)
    stubborn = f"sh -c \"trap '' TERM INT HUP; while :; do sleep 0.2; done; : {mark}\""
    script = f"trap '' TERM\necho before\nsetsid {stubborn} &\n{stubborn}\n"
    run = place.run(script, timeout=5.0)
    assert run.update.state is JobState.FAILED
    assert "time" in run.update.reason.lower()
    assert "before" in run.log
    assert run.outputs == {}
    assert running(mark) == []


def test_one_that_forks_daemons_in_sessions_of_their_own(place: Place) -> None:
    mark = secrets.token_hex(8)
    daemon = f"(setsid setsid sh -c 'exec >/dev/null 2>&1 </dev/null; sleep 300; : {mark}' &)\n"
    run = place.run(daemon * 5 + COPY)
    assert run.ok, run.update
    assert run.outputs == {"input.txt": b"data"}
    assert running(mark) == []


def test_one_that_leaves_many_children(place: Place) -> None:
    mark = secrets.token_hex(8)
    loop = f"i=0; while [ $i -lt 30 ]; do sh -c 'sleep 60; : {mark}' & i=$((i+1)); done"
    run = place.run(f"{loop}\nexit 3\n")
    assert (run.update.state, run.update.exit_code) == (JobState.FAILED, 3)
    assert running(mark) == []


def test_one_that_closes_every_descriptor(place: Place) -> None:
    script = COPY + 'exec 0<&- 1>&- 2>&-\nfor fd in 3 4 5 6 7 8 9; do eval "exec $fd>&-"; done\n'
    run = place.run(script + "sleep 0.3\nexit 0\n")
    assert run.ok, run.update
    assert run.outputs == {"input.txt": b"data"}


def write(size: int) -> str:
    """A script that prints so many MiB in lines, and a last one."""
    line = "x" * 1023
    return f"yes {line} | head -n {size * 1024}\necho the end\n" + COPY


@pytest.mark.slow
def test_one_that_prints_more_than_anybody_keeps(place: Place) -> None:
    # A gigabyte costs ten seconds and more: once, where nothing but us stands between.
    size = 1024 if place.name == "cluster" else 100
    made = place.service(write(size), timeout=280.0)
    run = place.finish(made, place.job(made))
    assert run.ok, run.update
    assert run.outputs == {"input.txt": b"data"}
    assert run.log[:1000]


def test_one_that_prints_bytes_that_are_no_text(place: Place) -> None:
    run = place.run("printf '\\377\\376\\000\\001 ok\\n'; head -c 3000 /dev/urandom\n" + COPY)
    assert run.ok, run.update


def test_one_that_makes_its_output_folder_a_link_to_all(place: Place) -> None:
    run = place.run('rmdir "$TMP_OUTPUT_DIR"; ln -s /etc "$TMP_OUTPUT_DIR"\n')
    assert run.update.state is JobState.FAILED
    assert run.outputs == {}


def test_the_same_event_five_times_at_once(place: Place) -> None:
    service = place.service(
        'sleep 1; echo run > "$TMP_OUTPUT_DIR/run-$$-$(date +%s%N)"; echo one run\n'
    )
    job = place.job(service)
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(place.target.submit, [job] * 5))
    run = place.ended(service, job)
    assert run.ok, run
    assert len(run.outputs) == 1
    assert run.log.count("one run") == 1


def test_a_failed_attempt_may_be_tried_again(place: Place) -> None:
    """What one attempt claimed is free for the next, and the same attempt is still one run."""
    from dataclasses import replace  # noqa: PLC0415

    service = place.service("echo once\nexit 4\n")
    job = place.job(service)
    assert place.finish(service, job).update.exit_code == 4
    again = place.finish(service, replace(job, attempt=2))
    assert again.update.exit_code == 4
    assert again.update.report["attempt"] == 2
