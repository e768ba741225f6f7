"""The small parts: backoff, names of owners, JSON of events and decisions."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.dispatch import Settings
from bridge.dispatch._codec import event_from, event_text, outputs_of
from bridge.dispatch._crew import Crew
from bridge.dispatch._owner import is_gone, new_owner
from bridge.events import Event, EventKind


def test_the_backoff_doubles_up_to_its_cap_with_jitter() -> None:
    settings = Settings(backoff=1.0, backoff_cap=60.0)
    waits = [settings.delay("job", tries) for tries in range(1, 12)]
    for tries, wait in enumerate(waits, 1):
        full = min(60.0, 2.0 ** (tries - 1))
        assert full / 2 <= wait <= full
    assert len({settings.delay(f"job-{n}", 1) for n in range(20)}) > 10


def test_the_backoff_is_repeatable_and_depends_on_the_seed() -> None:
    assert Settings(seed=1).delay("job", 3) == Settings(seed=1).delay("job", 3)
    assert Settings(seed=1).delay("job", 3) != Settings(seed=2).delay("job", 3)


def test_the_backoff_honours_the_least_delay_and_survives_many_tries() -> None:
    assert Settings(backoff=0.1).delay("job", 1, 5.0) == 5.0
    assert Settings().delay("job", 100_000) <= Settings().backoff_cap


def test_a_crew_survives_errors_works_at_once_and_leaves_what_waits_when_it_closes() -> None:
    crew, together, go, done = Crew(2, "test"), threading.Barrier(3), threading.Event(), []

    def work(number: int) -> None:
        if number == 0:
            raise ValueError("as any work may")
        if number < 3:
            together.wait(30)  # the two of them and the test
            go.wait(30)
        done.append(number)

    for number in (0, 0, 1, 2, 3):
        crew.hand(work, number)
    together.wait(30)
    threading.Timer(0.05, go.set).start()
    crew.close()
    crew.hand(work, 4)
    assert sorted(done) == [1, 2]


def test_an_owner_is_gone_when_its_process_is() -> None:
    mine = new_owner()
    child = subprocess.run(
        [sys.executable, "-c", "from bridge.dispatch._owner import new_owner; print(new_owner())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert mine != new_owner()
    assert not is_gone(mine)
    assert is_gone(child.stdout.strip())


@pytest.mark.parametrize("owner", ["", "x", "a/b/c/d", f"elsewhere/other-boot/{2**22 + 1}/ab"])
def test_an_owner_elsewhere_or_unreadable_may_be_alive(owner: str) -> None:
    assert not is_gone(owner)


def test_an_owner_of_an_earlier_boot_is_gone() -> None:
    host, boot, _, token = new_owner().split("/")
    if not boot:
        pytest.skip("this system has no boot id")
    assert is_gone(f"{host}/another-boot/{os.getpid()}/{token}")


def test_an_owner_in_another_container_may_be_alive() -> None:
    """Of the same host name, on the same kernel: numbers of processes mean something else there."""
    host, boot, _, token = new_owner().split("/")
    assert not is_gone(f"{host}/{boot}/{2**22 + 1}/1-{token}")


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(
    st.builds(
        Event,
        kind=st.sampled_from(EventKind),
        provider=text,
        bucket=text,
        key=text,
        size=st.none() | st.integers(0, 2**60),
        etag=text,
        version=text,
        sequencer=text,
        time=text,
        name=text,
        body=st.none() | st.binary(max_size=50),
        query=st.dictionaries(text, text, max_size=3),
        record=json_values,
        nonce=text,
    )
)
def test_an_event_survives_its_json(event: Event) -> None:
    written = event_text(event)
    written.encode("ascii")
    assert event_from(written) == event


@pytest.mark.parametrize(
    "outputs", [None, "x", {}, [1], [{}], [{"bucket": "b"}], [{"key": "k", "bucket": ""}]]
)
def test_outputs_that_name_no_object_are_left_out(outputs: object) -> None:
    assert outputs_of({"outputs": outputs}) == ()


def test_outputs_are_read_from_a_report() -> None:
    entry = {"provider": "s3.default", "bucket": "b", "key": "k", "size": "12", "etag": '"e"'}
    (output,) = outputs_of({"outputs": [entry]})
    assert (output.provider, output.size, output.etag) == ("s3.default", None, "e")
