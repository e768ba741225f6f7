"""The context of the app."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import UsageError
from cdk import Settings


def test_the_file_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OSCAR_BRIDGE_IMAGES", raising=False)
    made = Settings.read({"fdl": "a/My file_2.yaml", "name": "", "stacks": None})
    assert made.fdl == Path("a/My file_2.yaml")
    assert (made.name, made.prefix, made.images) == ("My-file-2", "oscar-bridge", "push")
    assert made.stack_names == ("oscar-bridge-My-file-2",)
    assert made.push


def test_without_a_file_it_is_about_the_base() -> None:
    assert Settings.read({}).only_base
    assert not Settings.read({"fdl": "f"}).only_base


def test_the_environment_stands_in_for_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSCAR_BRIDGE_IMAGES", "as-is")
    assert Settings.read({"fdl": "f"}).images == "as-is"
    assert Settings.read({"fdl": "f", "images": "push"}).images == "push"


def test_what_the_dispatcher_takes_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings.read({"fdl": "f"}).variables == {}
    monkeypatch.setenv("BRIDGE_POLICY_CANARY", "cheapest:5%")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret")
    assert Settings.read({"fdl": "f"}).variables == {
        "BRIDGE_POLICY_CANARY": "cheapest:5%",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
    }
    monkeypatch.setenv("BRIDGE_POLICY_CANARY", "cheapest")
    with pytest.raises(UsageError, match="canary"):
        Settings.read({"fdl": "f"})


def test_several_stacks_are_numbered() -> None:
    made = Settings.read({"fdl": "f", "stacks": 2, "prefix": "ob", "tags": "team=a, cost=b=c"})
    assert made.stack_names == ("ob-f-1", "ob-f-2")
    assert made.tags == {"team": "a", "cost": "b=c"}


def test_who_says_where_assets_go_pushes_images_too() -> None:
    assert not Settings.read({"fdl": "f", "assets": "own"}).push


@pytest.mark.parametrize(
    "context",
    [
        {"fdl": "f", "prefix": "Upper"},
        {"fdl": "f", "prefix": "a-prefix-that-is-too-long-for-buckets"},
        {"fdl": "f", "name": "-x"},
        {"fdl": "f", "stacks": "0"},
        {"fdl": "f", "stacks": "many"},
        {"fdl": "f", "images": "pull"},
        {"fdl": "f", "assets": "elsewhere"},
        {"fdl": "f", "tags": "team"},
    ],
)
def test_what_makes_no_sense_is_refused_with_a_hint(context: dict[str, object]) -> None:
    with pytest.raises(UsageError) as refused:
        Settings.read(context)
    assert refused.value.hint
