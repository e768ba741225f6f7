"""deploy/localstack: what can be checked of it without a token."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from tests.command import ROOT

FOLDER = ROOT / "deploy" / "localstack"


def sourced(**given: str) -> dict[str, str]:
    """The AWS variables of a shell that has sourced env.sh."""
    done = subprocess.run(
        ["sh", "-euc", f". {FOLDER}/env.sh; env"],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **given},
    )
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {name: value for name, _, value in pairs if name.startswith(("AWS_", "LOCALSTACK_"))}


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://localhost:4566"),
        ({"LOCALSTACK_HOST": "stack.test"}, "http://stack.test:4566"),
        ({"LOCALSTACK_HOST": "stack.test:5000", "USE_SSL": "1"}, "https://stack.test:5000"),
    ],
)
def test_the_shell_speaks_to_localstack(given: dict[str, str], url: str) -> None:
    found = sourced(AWS_PROFILE="work", AWS_SESSION_TOKEN="real", **given)
    assert found["AWS_ENDPOINT_URL"] == found["AWS_ENDPOINT_URL_S3"] == url
    assert found["AWS_ACCESS_KEY_ID"] == "test"
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & found.keys()
    assert found["AWS_REGION"] == "us-east-1"


def test_the_container_has_the_services_of_our_stacks() -> None:
    [service] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"].values()
    names = service["environment"]["SERVICES"].split(",")
    assert not [name for name in names if not name.isalnum()]
    ours = {"apigateway", "batch", "cloudformation", "dynamodb", "events", "lambda", "s3", "sqs"}
    assert ours <= set(names)
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
