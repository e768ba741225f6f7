from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bridge.errors import FdlError
from bridge.fdl import dump, parse, schema
from tests.fdl.texts import aws, load_text, oscar, valid_files


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema())


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("file", valid_files(), ids=lambda p: p.stem)
def test_what_the_parser_takes_is_valid(
    file: Path, validator: jsonschema.Draft202012Validator
) -> None:
    text = file.read_text().replace("\t", "")
    validator.validate(yaml.safe_load(text))
    validator.validate(yaml.safe_load(dump(load_text(file))))


@pytest.mark.parametrize(
    "text",
    [
        oscar("cpuu: 1"),
        oscar("expose: {api_portt: 80}"),
        oscar("placement: {target: lab}"),
        oscar("placement: {policy: cheepest}"),
        oscar("synchronous: {min_scale: -1}"),
        oscar("input: [{storage_provider: minio}]"),
        oscar(rest="storage_provider: {}"),
        oscar(rest="storage_providers: {s3: {x: {keyy: 1}}}"),
        oscar(rest="targets: {x: {kind: moon}}"),
        oscar().replace("svc", "No_Name"),
        oscar().replace("image: busybox", ""),
        aws("memory: 20000"),
        aws("timeout: 5000"),
        aws("image: x"),
        aws(beside="batch: {array: 1}"),
        aws(beside="cloudwatch: {log_retention_policy_in_days: 31}"),
    ],
)
def test_what_the_parser_refuses_is_not_valid(
    text: str, validator: jsonschema.Draft202012Validator
) -> None:
    with pytest.raises(FdlError):
        parse(text)
    assert not validator.is_valid(yaml.safe_load(text))


@pytest.mark.parametrize("text", [oscar("log_level: debug"), oscar("cpu: ~\nexpose:\ninput:")])
def test_tolerance_is_in_the_schema(text: str, validator: jsonschema.Draft202012Validator) -> None:
    assert parse(text)
    validator.validate(yaml.safe_load(text))


def test_an_editor_finds_descriptions_defaults_and_limits() -> None:
    defs: dict[str, Any] = schema()["$defs"]
    memory = defs["lambda"]["properties"]["memory"]
    assert (memory["minimum"], memory["maximum"], memory["default"]) == (128, 10240, 512)
    assert memory["description"]
    assert defs["oscar_service"]["properties"]["memory"]["default"] == "256Mi"
    assert defs["oscar_service"]["required"] == ["name", "image"]
    assert "Variables" in defs["environment"]["properties"]


def test_every_key_has_a_description() -> None:
    for name, record in schema()["$defs"].items():
        assert record["description"], name
        for key, value in record["properties"].items():
            assert value["description"], f"{name}.{key}"
