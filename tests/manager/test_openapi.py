"""Requests made from our own OpenAPI description: whatever comes, no defect and no other answer."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from .conftest import Live, basic

# Of each operation: some as the description has them, some that break it.
EXAMPLES = 3


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
        # What has no body and any text in its path cannot be broken.
        modes = list(GenerationMode) if operation.body else [GenerationMode.POSITIVE]
        for mode in modes:
            try:
                probe(operation, mode)
            except Exception as error:
                problems[f"{operation.label} {mode.value}"] = str(error)[:600]
    assert problems == {}
