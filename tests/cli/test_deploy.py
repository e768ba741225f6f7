"""plan, apply, drift, rollback, destroy and secrets as a user runs them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
import pytest

from bridge.local.aws import AwsEndpoint
from tests.cli.test_face import imported
from tests.command import EXAMPLES, bridge, document, service, terminal, write

WORDS = EXAMPLES / "word-charts"
NOBODY = {
    "AWS_ACCESS_KEY_ID": "",
    "AWS_SECRET_ACCESS_KEY": "",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REGION": "us-east-1",
    # Nor any cluster.
    "OSCAR_ENDPOINT": "",
    "HOME": "/nonexistent",
}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The variables of an endpoint that brings the runtime itself."""
    with AwsEndpoint(tmp_path_factory.mktemp("endpoint") / "aws") as endpoint:
        yield {**endpoint.environment(), "OSCAR_BRIDGE_IMAGES": "as-is"}


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A copy of the example that is all on AWS."""
    shutil.copytree(WORDS, tmp_path / "words")
    return tmp_path / "words" / "word-charts.yaml"


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A file of which nothing may run on AWS."""
    text = document(service("one", takes=["data/in"], gives=["data/out"]))
    return write(tmp_path, {"f.yaml": text, "one.sh": "true\n"}) / "f.yaml"


def test_without_an_account_plan_shows_placements_and_why_no_more(words: Path) -> None:
    done = bridge("plan", words, env=NOBODY)
    assert done.status == 0, done.err
    assert "count-words" in done.out and "aws-lambda" in done.out
    (line,) = [one for one in done.out.splitlines() if one.startswith("no change set:")]
    assert "credentials" in line
    told = bridge("plan", words, "--json", env=NOBODY).json
    assert len(told["decisions"]) == 2 and told["changes"] is None
    assert "credentials" in told["notes"][0]
    nowhere = {**NOBODY, "AWS_REGION": "", "AWS_DEFAULT_REGION": ""}
    assert "no AWS region" in bridge("plan", words, env=nowhere).out
    gone = {**NOBODY, "AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "x"}
    closed = bridge("plan", words, env={**gone, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    assert closed.status == 0 and "no change set:" in closed.out


def test_a_file_without_aws_asks_nobody(cluster: Path) -> None:
    assert "cluster here has no endpoint" in bridge("plan", cluster, env=NOBODY).out
    assert "boto3" not in imported("plan", cluster)
    said = bridge("apply", cluster, "--yes", env=NOBODY).failed(2)
    assert "OSCAR_ENDPOINT" in said


def test_offline_asks_nobody(words: Path) -> None:
    assert "--offline" in bridge("plan", words, "--offline").out
    assert "boto3" not in imported("plan", words, "--offline")


@pytest.mark.parametrize("command", ["apply", "destroy", "drift", "rollback", "secrets"])
def test_without_credentials_each_command_ends_with_1_and_a_hint(command: str, words: Path) -> None:
    said = bridge(command, words, env=NOBODY).failed(1)
    assert "credentials" in said and "AWS_PROFILE" in said


def test_exit_status_is_in_the_help() -> None:
    for command in ("plan", "apply", "destroy", "drift", "rollback", "secrets"):
        said = " ".join(bridge(command, "--help").out.split())
        assert "Exit status" in said and "130 interrupted" in said


@pytest.mark.parametrize("command", ["destroy", "drift", "rollback"])
def test_a_deployment_must_be_named_and_be_there(command: str, aws: Mapping[str, str]) -> None:
    assert "which deployment" in bridge(command, env=aws).failed(2)
    said = bridge(command, "--name", "nothing", env=aws).failed(1)
    assert "nothing" in said


@pytest.mark.slow
@pytest.mark.timeout(900)  # the CDK app takes its time, ten times over
@pytest.mark.skipif(shutil.which("node") is None, reason="the CDK app needs Node.js")
def test_a_deployment_from_its_plan_to_its_end(words: Path, aws: Mapping[str, str]) -> None:
    assert "--yes" in bridge("apply", words, env=aws).failed(2)
    done = bridge("apply", words, "--yes", env=aws)
    assert done.status == 0, done.out + done.err
    assert "create complete" in done.err and "entry 1" in done.out
    # Nothing to do, so nothing to ask about; on a terminal, too.
    assert "nothing to change" in terminal("apply", words, **aws)

    # A limit that is broken is said with its place, before anything is asked.
    wrong = words.with_name("wrong.yaml")
    wrong.write_text(words.read_text().replace("memory: 256", "memory: 20000"))
    assert f"{wrong}:1" in bridge("plan", wrong, env=aws).failed(2)

    # Another size: before and after, then back.
    words.write_text(words.read_text().replace("memory: 256", "memory: 512"))
    said = bridge("apply", words, "--yes", "--json", env=aws).json
    rows = {one["name"]: one for one in said["changes"]}
    changed = {one["path"]: one for one in rows["count-words"]["properties"]}
    assert (changed["MemorySize"]["before"], changed["MemorySize"]["after"]) == ("256", "512")
    functions = boto3.client(
        "lambda",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id=aws["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws["AWS_SECRET_ACCESS_KEY"],
    )
    assert functions.get_function_configuration(FunctionName="count-words")["MemorySize"] == 512
    assert bridge("rollback", words, "--yes", env=aws).status == 0
    assert functions.get_function_configuration(FunctionName="count-words")["MemorySize"] == 256
    listed = bridge("rollback", words, "--list", "--json", env=aws).json
    assert [one["restores"] for one in listed] == [None, None, 1]

    # Deleted by hand: drift tells, apply makes it again.
    assert bridge("drift", words, env=aws).status == 0
    functions.delete_function(FunctionName="count-words")
    found = bridge("drift", words, "--json", env=aws)
    assert found.status == 4
    assert [(one["name"], one["state"]) for one in found.json["drifted"]] == [
        ("count-words", "deleted")
    ]
    words.write_text(words.read_text().replace("memory: 512", "memory: 256"))
    assert "made again" in bridge("apply", words, "--yes", env=aws).out
    assert functions.get_function_configuration(FunctionName="count-words")

    # The end; what holds data stays.
    done = bridge("destroy", words, "--all", "--yes", env=aws)
    assert done.status == 0, done.err
    assert "oscar-bridge-words stays" in done.out
    assert "there is no deployment" in bridge("destroy", words, "--yes", env=aws).failed(1)
