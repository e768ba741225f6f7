"""A Lambda container is like Lambda's: only /tmp can be written, of a limited size, and emptied."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.targets import JobState
from tests.conformance.places import MIB, Place, places

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with places("container", tmp_path_factory.mktemp("places")) as found:
        yield found["lambda"]


@pytest.mark.parametrize("path", ["/home/file", "/var/file", "/opt/bridge/file"])
def test_outside_of_tmp_nothing_can_be_written(place: Place, path: str) -> None:
    run = place.run(f"echo x > {path}\n")
    assert run.update.state is JobState.FAILED
    assert any("Read-only file system" in line for line in run.log), run.log


def test_programs_can_be_run_from_tmp(place: Place) -> None:
    script = 'printf "#!/bin/sh\\necho ran\\n" > /tmp/p; chmod +x /tmp/p; /tmp/p; rm /tmp/p\n'
    run = place.run(script)
    assert "ran" in run.log


def test_tmp_is_clean_for_the_next_invocation(place: Place) -> None:
    service = place.service(
        'ls -A /tmp | grep -v ^bridge- > "$TMP_OUTPUT_DIR/seen-$(basename "$INPUT_FILE_PATH")"\n'
        "mkdir -p /tmp/left/deep; echo x > /tmp/left/deep/file; chmod 0 /tmp/left\n"
        'cut -d" " -f1 /proc/sys/kernel/random/boot_id > /dev/null\n'
        'hostname > "$TMP_OUTPUT_DIR/host-$(basename "$INPUT_FILE_PATH")"\n'
    )
    for name in ("one", "two"):
        assert place.finish(service, place.job(service, name)).ok
    outputs = place.outputs(service)
    assert outputs["host-one"] == outputs["host-two"]  # a warm environment, or this shows nothing
    assert (outputs["seen-one"], outputs["seen-two"]) == (b"", b"")


def test_tmp_has_the_functions_size_and_is_no_part_of_its_memory(place: Place) -> None:
    """256 MiB of memory and 512 MiB in /tmp: 400 MiB of files fit, 600 do not."""
    fill = "dd if=/dev/zero of=/tmp/big bs=1M count={} 2>&1\n"
    fits = place.run(fill.format(400))
    assert fits.ok, fits
    full = place.run(fill.format(600))
    assert full.update.state is JobState.FAILED
    assert any("No space left on device" in line for line in full.log), full.log
    assert full.update.exit_code == 1


def test_memory_is_limited_beside_tmp(place: Place) -> None:
    hog = f"import time\nx = bytearray({400 * MIB})\nfor i in range(0, len(x), 4096): x[i] = 1\n"
    run = place.run(f"#!/usr/bin/env python3\n{hog}time.sleep(20)\n")
    assert run.update.state is JobState.FAILED
    assert "emory" in run.update.reason or "killed" in run.update.reason, run.update
