"""A document written as FDL and read again is the same document."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from bridge.fdl import Document, dump, parse, schema
from tests.fdl.strategies import documents
from tests.fdl.texts import aws, load_text, oscar, valid_files

# Documents are big; what matters is that many shapes are tried, not how fast one is drawn.
relaxed = settings(
    max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@relaxed
@given(documents())
def test_what_is_dumped_keeps_the_schema_and_is_read_back(document: Document) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(yaml.safe_load(dump(document)))
    again = parse(dump(document, reveal=True))
    assert again.services == document.services
    assert again.providers == document.providers
    assert again.clusters == document.clusters
    assert again.targets["box"] == document.targets["box"]
    assert parse(dump(again, reveal=True)) == again


SCHEMA = schema()


@pytest.mark.parametrize("file", valid_files(), ids=lambda p: p.stem)
def test_real_shapes_are_read_back(file: Path) -> None:
    document = load_text(file)
    assert parse(dump(document, reveal=True), file=str(file)) == document


@pytest.mark.parametrize("file", valid_files(), ids=lambda p: p.stem)
def test_secrets_are_hidden_in_text_and_repr(file: Path) -> None:
    document = load_text(file)
    assert "TOP-SECRET" not in dump(document) + repr(document)


def test_secrets_are_shown_only_on_demand() -> None:
    document = parse(oscar("environment: {secrets: {A: TOP-SECRET}}"))
    assert "A: hidden" in dump(document)
    assert "A: TOP-SECRET" in dump(document, reveal=True)


def test_defaults_are_left_out() -> None:
    assert dump(parse(oscar("cpu: 0.2\nmemory: 256Mi\nlog_level: info"))) == (
        "functions:\n  oscar:\n  - lab:\n      name: svc\n      image: busybox\n"
        "      script: run.sh\n"
    )
    assert yaml.safe_load(dump(parse(aws("memory: 512"))))["functions"]["aws"] == [
        {"lambda": {"name": "fun", "container": {"image": "busybox"}}}
    ]
