"""The AWS endpoint with containers: functions and jobs run in local images with real limits."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bridge.errors import BridgeError
from bridge.local.executors import container_executor, engine_available, gateway
from tests.local.aws.endpoint import ROLE, Aws, running
from tests.waiting import eventually

pytestmark = pytest.mark.docker
IMAGE = "oscar-bridge/busybox:local"

# A Runtime API client in the shell of busybox.
FUNCTION = r"""
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime
echo "started as $0 in $(pwd)"
while true; do
  wget -q -S -O /tmp/event $api/invocation/next 2>/tmp/head || exit 1
  id=$(sed -n 's/.*Lambda-Runtime-Aws-Request-Id: *//p' /tmp/head | tr -d '\r')
  event=$(cat /tmp/event)
  echo "event $event"
  case $event in
    *sleep*) sleep 600 & wait ;;
    *exit*) exit 4 ;;
    *eat*) head -c 400m /dev/zero | tail ;;
  esac
  wget -q -O- --post-data "{\"got\": $event, \"host\": \"$(hostname)\", \"who\": \"$WHO\"}" \
    $api/invocation/$id/response
done
"""


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    if reason := engine_available():
        pytest.skip(reason)
    probe = container_executor("probe")
    try:
        probe.check(IMAGE)
    except BridgeError:
        pytest.skip(f"{IMAGE} is not built: tools/base-images.sh busybox")
    finally:
        probe.close()
    folder = tmp_path_factory.mktemp("endpoint")
    (folder / "runtime").mkdir()
    (folder / "runtime" / "hello").write_text("from the runtime\n")
    with running(
        folder,
        engine="container",
        session="dockertest",
        address=gateway(),
        runtime=folder / "runtime",
    ) as one:
        yield one
    assert containers() == []


def containers() -> list[str]:
    command = ["docker", "ps", "-aq", "--filter", "label=oscar-bridge.session=dockertest-aws"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture
def function(aws: Aws) -> str:
    name = f"f-{uuid.uuid4().hex[:8]}"
    aws.client("lambda").create_function(
        FunctionName=name,
        Role=ROLE,
        PackageType="Image",
        Code={"ImageUri": IMAGE},
        ImageConfig={
            "EntryPoint": ["sh", "-c", FUNCTION],
            "Command": ["the handler"],
            "WorkingDirectory": "/home/user",
        },
        Environment={"Variables": {"WHO": "me"}},
        Timeout=20,
        MemorySize=128,
    )
    return name


def test_a_function_runs_in_its_image_and_stays_warm(aws: Aws, function: str) -> None:
    first, error = aws.invoke(function, {"a": 1})
    assert (error, first["got"], first["who"]) == ("", {"a": 1}, "me")
    assert aws.invoke(function, {})[0]["host"] == first["host"]
    eventually(
        lambda: "started as the handler in /home/user" in aws.lines(f"/aws/lambda/{function}")
    )


def test_failures_of_a_function_are_those_of_aws(aws: Aws, function: str) -> None:
    body, error = aws.invoke(function, {"do": "exit"})
    assert (error, body["errorType"]) == ("Unhandled", "Runtime.ExitError")
    aws.client("lambda").update_function_configuration(FunctionName=function, Timeout=2)
    body, error = aws.invoke(function, {"do": "sleep"})
    assert error == "Unhandled"
    assert body["errorMessage"].endswith("Task timed out after 2.00 seconds")
    assert aws.invoke(function, {})[1] == ""


def test_an_image_that_is_not_here_is_refused(aws: Aws) -> None:
    with pytest.raises(ClientError) as caught:
        aws.function("no-image", image="nobody/knows:this")
    assert caught.value.response["Error"]["Code"] == "InvalidParameterValueException"
    assert "nobody/knows:this" in caught.value.response["Error"]["Message"]


def job(aws: Aws, script: str, image: str = IMAGE, **container: Any) -> dict[str, Any]:
    batch = aws.client("batch")
    name = f"q-{uuid.uuid4().hex[:8]}"
    batch.create_compute_environment(
        computeEnvironmentName=name, type="MANAGED", computeResources={"maxvCpus": 4}
    )
    batch.create_job_queue(
        jobQueueName=name,
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": name}],
    )
    batch.register_job_definition(
        jobDefinitionName=name,
        type="container",
        containerProperties={
            "image": image,
            "command": ["sh", "-c", script],
            "vcpus": 1,
            "memory": 64,
            **container,
        },
    )
    number = batch.submit_job(jobName="j", jobQueue=name, jobDefinition=name)["jobId"]

    def over() -> dict[str, Any] | None:
        found = batch.describe_jobs(jobs=[number])["jobs"][0]
        return found if found["status"] in {"SUCCEEDED", "FAILED"} else None

    return eventually(over)


def lines(aws: Aws, found: dict[str, Any]) -> list[str]:
    return aws.lines("/aws/batch/job", found["container"]["logStreamName"])


def test_a_job_runs_in_its_image_with_the_runtime_and_reaches_the_endpoint(
    aws: Aws, tmp_path: Path
) -> None:
    script = (
        "cat /opt/bridge/hello; wget -q -O- $AWS_ENDPOINT_URL/_ministack/health | head -c 1; exit 3"
    )
    found = job(aws, script)
    assert (found["status"], found["container"]["exitCode"]) == ("FAILED", 3)
    assert lines(aws, found) == ["from the runtime", "{"]


def test_the_memory_of_a_job_is_bounded(aws: Aws) -> None:
    found = job(aws, "head -c 400m /dev/zero | tail; exit 1")
    assert found["status"] == "FAILED"
    assert found["container"]["reason"].startswith("OutOfMemoryError")


def test_a_job_without_its_image_says_how_to_get_it(aws: Aws) -> None:
    found = job(aws, "true", image="nobody/knows:this")
    assert found["status"] == "FAILED"
    assert found["container"]["reason"].startswith("CannotPullContainerError")
    assert "docker pull nobody/knows:this" in found["container"]["reason"]
