"""Requests made from our own OpenAPI description: whatever comes, no defect and no other answer."""

from __future__ import annotations

from typing import Any

import jsonschema
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from .conftest import Live, basic

# Of each operation: some as the description has them, some that break it.
EXAMPLES = 2
# Its answer has no end; test_stream.py reads it.
ENDLESS = "/api/v1/events"
# These answer texts, or whatever a service answers.
NO_JSON = {
    "POST /events", "GET /health", "GET /ready", "GET /metrics", "POST /run/{name}",
    "GET /system/services/{name}/auth", "GET /system/logs/{name}/{job}", f"GET {ENDLESS}",
}  # fmt: skip


def test_bodies_have_shapes_and_examples_that_fit(live: Live) -> None:
    document = live.ask("GET", "/openapi.json", headers={}).json
    shapeless = set()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            (status,) = [one for one in operation["responses"] if one.startswith("2")]
            content = operation["responses"][status].get("content", {})
            if status == "200" and not content.get("application/json", {}).get("schema"):
                shapeless.add(f"{method.upper()} {path}")
            if body := operation.get("requestBody"):
                said = body["content"]["application/json"]
                whole = {**said["schema"], "components": document["components"]}
                jsonschema.Draft202012Validator(whole).validate(said["example"])
    assert shapeless == NO_JSON


def test_the_description_is_kept(live: Live) -> None:
    rules = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    schema = schemathesis.openapi.from_url(f"{live.url}/openapi.json")
    problems: dict[str, str] = {}
    service = live.create(script="echo said")

    def probe(operation: Any, mode: GenerationMode) -> None:
        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def call(case: Any) -> None:
            if case.method in ("GET", "POST") and "name" in case.path_parameters:
                case.path_parameters["name"] = service
            token = {"Authorization": f"Bearer {live.token}"}
            response = case.call(headers=basic() if case.path != "/events" else token, timeout=30)
            case.validate_response(response, checks=rules)

        call()

    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path == ENDLESS:
            continue
        # What has no body and any text in its path cannot be broken.
        modes = list(GenerationMode) if operation.body else [GenerationMode.POSITIVE]
        for mode in modes:
            try:
                probe(operation, mode)
            except Exception as error:
                problems[f"{operation.label} {mode.value}"] = str(error)[:600]
    assert problems == {}
