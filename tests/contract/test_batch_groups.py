"""Jobs that belong together: arrays, dependencies, the nodes of one job."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.batch import GROUP, Batch, container, needs
from tests.contract.endpoint import code, name

nodes_run = pytest.mark.contract("batch-multi-node")


@pytest.mark.contract("batch-array")
def test_an_array_runs_each_index_once(batch: Batch) -> None:
    marks = [batch.aws.mark() for _ in range(3)]
    cases = "\n".join(f"{index}) put '{one.put}' {index};;" for index, one in enumerate(marks))
    script = f"echo $AWS_BATCH_JOB_ARRAY_INDEX\ncase $AWS_BATCH_JOB_ARRAY_INDEX in {cases} esac"
    job = batch.run(script, submit={"arrayProperties": {"size": 3}})
    assert job["status"] == "SUCCEEDED"
    assert [mark.text() for mark in marks] == ["0", "1", "2"]
    assert job["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 3
    children = [batch.job(f"{job['jobId']}:{index}") for index in range(3)]
    assert [batch.lines(one) for one in children] == [["0"], ["1"], ["2"]]


@pytest.mark.any_engine
@pytest.mark.contract("batch-array")
def test_one_failed_child_fails_its_array_and_only_it_is_tried_again(batch: Batch) -> None:
    job = batch.run(
        "[ $AWS_BATCH_JOB_ARRAY_INDEX != 1 ] || exit 9",
        retryStrategy={"attempts": 2},
        submit={"arrayProperties": {"size": 3}},
    )
    assert job["status"] == "FAILED"
    summary = job["arrayProperties"]["statusSummary"]
    assert (summary["FAILED"], summary["SUCCEEDED"]) == (1, 2)
    children = [batch.job(f"{job['jobId']}:{index}") for index in range(3)]
    assert [len(one["attempts"]) for one in children] == [1, 2, 1]
    assert children[1]["container"]["exitCode"] == 9
    listed = batch.client.list_jobs(arrayJobId=job["jobId"], jobStatus="FAILED")
    assert [one["jobId"] for one in listed["jobSummaryList"]] == [f"{job['jobId']}:1"]


@pytest.mark.contract("batch-array")
def test_terminating_an_array_ends_its_children(batch: Batch) -> None:
    mark = batch.aws.mark()
    number = batch.submit(batch.define(f"hold '{mark.get}'"), arrayProperties={"size": 2})
    batch.reach(f"{number}:0", "RUNNING")
    batch.client.terminate_job(jobId=number, reason="stop")
    assert batch.ended(number)["status"] == "FAILED"
    assert [batch.job(f"{number}:{index}")["status"] for index in (0, 1)] == ["FAILED"] * 2


@pytest.mark.any_engine
def test_a_job_waits_for_the_success_of_another(batch: Batch) -> None:
    first, second = batch.aws.mark(), batch.aws.mark()
    one = batch.submit(batch.define(f"sleep 1; put '{first.put}' first"))
    script = f"hold '{first.get}'; put '{second.put}' second"
    two = batch.submit(batch.define(script), dependsOn=[{"jobId": one}])
    assert batch.job(two)["status"] in {"SUBMITTED", "PENDING"}
    assert batch.ended(two)["status"] == "SUCCEEDED"
    assert batch.job(one)["stoppedAt"] <= batch.job(two)["startedAt"]
    assert (first.text(), second.text()) == ("first", "second")


@pytest.mark.contract("batch-dependency-reason")
@pytest.mark.any_engine
def test_a_failed_dependency_fails_what_waits(batch: Batch) -> None:
    mark = batch.aws.mark()
    one = batch.submit(batch.define("exit 1"))
    two = batch.submit(batch.define(f"put '{mark.put}' ran"), dependsOn=[{"jobId": one}])
    job = batch.ended(two)
    assert (job["status"], mark.text()) == ("FAILED", None)
    assert job["statusReason"] == "Dependent Job failed"
    assert job["attempts"] == []


@pytest.mark.contract("batch-array-dependencies")
def test_an_array_can_run_in_order_and_child_by_child(batch: Batch) -> None:
    definition = batch.define("echo $AWS_BATCH_JOB_ARRAY_INDEX")
    first = batch.submit(
        definition, arrayProperties={"size": 3}, dependsOn=[{"type": "SEQUENTIAL"}]
    )
    second = batch.submit(
        definition,
        arrayProperties={"size": 3},
        dependsOn=[{"jobId": first, "type": "N_TO_N"}],
    )
    assert batch.ended(second)["status"] == "SUCCEEDED"
    one = [batch.job(f"{first}:{index}") for index in range(3)]
    two = [batch.job(f"{second}:{index}") for index in range(3)]
    for before, after in [*itertools.pairwise(one), *zip(one, two, strict=True)]:
        assert before["stoppedAt"] <= after["startedAt"]


def multinode(batch: Batch, script: str, count: int = 3, **settings: Any) -> str:
    """A definition of a multi-node job: the second node is the main one."""
    properties = {
        "numNodes": count,
        "mainNode": 1,
        "nodeRangeProperties": [{"targetNodes": "0:", "container": container(batch.aws, script)}],
    }
    answer = batch.client.register_job_definition(
        jobDefinitionName=name("nodes"), type="multinode", nodeProperties=properties, **settings
    )
    return answer["jobDefinitionArn"]


def logs(batch: Batch, number: str, count: int) -> list[list[str]]:
    nodes = [batch.job(f"{number}#{index}") for index in range(count)]
    return [batch.aws.lines(GROUP, one["container"]["logStreamName"]) for one in nodes]


@nodes_run
def test_the_nodes_of_a_job_meet_at_the_main_node(batch: Batch) -> None:
    mark = batch.aws.mark()
    script = (
        "export MARK='" + mark.put + "'\n"
        "echo $AWS_BATCH_JOB_NODE_INDEX/$AWS_BATCH_JOB_NUM_NODES"
        " main $AWS_BATCH_JOB_MAIN_NODE_INDEX\n" + MEETING
    )
    job = batch.ended(batch.submit(multinode(batch, script)))
    assert job["status"] == "SUCCEEDED"
    assert mark.text() == "met 0,2"
    assert "container" not in job
    assert (job["nodeProperties"]["numNodes"], job["nodeProperties"]["mainNode"]) == (3, 1)
    assert [one[0] for one in logs(batch, job["jobId"], 3)] == [
        "0/3 main 1",
        "1/3 main 1",
        "2/3 main 1",
    ]
    nodes = [batch.job(f"{job['jobId']}#{index}") for index in range(3)]
    assert [one["nodeDetails"]["isMainNode"] for one in nodes] == [False, True, False]
    listed = batch.client.list_jobs(multiNodeJobId=job["jobId"], jobStatus="SUCCEEDED")
    assert len(listed["jobSummaryList"]) == 3


# Each node but the main one sends its index to the main one, which has no address but listens.
MEETING = r"""
cat > /tmp/meet-$AWS_BATCH_JOB_ID.py <<'END'
import os, socket, sys, time, urllib.request
me, main = os.environ["AWS_BATCH_JOB_NODE_INDEX"], os.environ["AWS_BATCH_JOB_MAIN_NODE_INDEX"]
where = os.environ.get("AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS")
port = 20000 + int(os.environ["AWS_BATCH_JOB_ID"][:4], 16) % 12000
if me == main:
    assert where is None, where
    with socket.create_server(("0.0.0.0", port)) as server:
        found = []
        while len(found) < 2:
            with server.accept()[0] as one:
                found.append(one.makefile().readline().strip())
                one.sendall(b"thanks\n")
    body = ("met " + ",".join(sorted(found))).encode()
    plain = {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(os.environ["MARK"], body, plain, method="PUT"))
    time.sleep(1)
else:
    while True:
        try:
            with socket.create_connection((where, port)) as one:
                one.sendall(me.encode() + b"\n")
                assert one.makefile().readline() == "thanks\n"
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
END
python3 /tmp/meet-$AWS_BATCH_JOB_ID.py; status=$?; rm /tmp/meet-$AWS_BATCH_JOB_ID.py; exit $status
"""


@nodes_run
def test_the_job_ends_with_its_main_node(batch: Batch) -> None:
    mark, *begun = (batch.aws.mark() for _ in range(4))
    says = "\n".join(f"        {n}) put '{one.put}' begun;;" for n, one in enumerate(begun))
    waits = "; ".join(f"hold '{one.get}'" for one in begun)
    script = f"""
        echo here
        case $AWS_BATCH_JOB_NODE_INDEX in
{says}
        esac
        if [ $AWS_BATCH_JOB_NODE_INDEX = $AWS_BATCH_JOB_MAIN_NODE_INDEX ]
        then {waits}; exit 6
        else sleep 4; put '{mark.put}' late
        fi"""
    job = batch.ended(batch.submit(multinode(batch, script)))
    assert (job["status"], job["attempts"][-1]["container"]["exitCode"]) == ("FAILED", 6)
    statuses = [batch.job(f"{job['jobId']}#{index}")["status"] for index in range(3)]
    assert statuses == ["FAILED"] * 3
    batch.aws.eventually(lambda: logs(batch, job["jobId"], 3) == [["here"]] * 3)
    assert mark.text() is None


@nodes_run
def test_a_failing_node_that_is_not_the_main_one_does_not_fail_the_job(batch: Batch) -> None:
    mark = batch.aws.mark()
    main = "[ $AWS_BATCH_JOB_NODE_INDEX = $AWS_BATCH_JOB_MAIN_NODE_INDEX ]"
    script = f"if {main}; then hold '{mark.get}'; else exit 3; fi"
    number = batch.submit(multinode(batch, script, 2))
    helper = batch.ended(f"{number}#0")
    assert (helper["status"], helper["container"]["exitCode"]) == ("FAILED", 3)
    assert batch.job(number)["status"] == "RUNNING"
    mark.release()
    assert batch.ended(number)["status"] == "SUCCEEDED"


@nodes_run
def test_overrides_retries_and_time_limits_are_of_the_whole_job(batch: Batch) -> None:
    script = "echo $WHO $AWS_BATCH_JOB_ATTEMPT; [ $AWS_BATCH_JOB_ATTEMPT = 2 ] || exit 1"
    who = {"environment": [{"name": "WHO", "value": "all"}]}
    last = {"environment": [{"name": "WHO", "value": "last"}]}
    number = batch.submit(
        multinode(batch, f"{script}; sleep 1", 2),
        retryStrategy={"attempts": 2},
        nodeOverrides={
            "numNodes": 3,
            "nodePropertyOverrides": [
                {"targetNodes": "0:", "containerOverrides": who},
                {"targetNodes": "2", "containerOverrides": last},
            ],
        },
    )
    job = batch.ended(number)
    assert (job["status"], len(job["attempts"])) == ("SUCCEEDED", 2)
    assert logs(batch, number, 3) == [["all 2"], ["all 2"], ["last 2"]]
    number = batch.submit(multinode(batch, "sleep 60", 2), timeout={"attemptDurationSeconds": 1})
    assert batch.ended(number)["statusReason"] == "Job attempt duration exceeded timeout"


@nodes_run
def test_terminating_ends_all_nodes(batch: Batch) -> None:
    mark = batch.aws.mark()
    number = batch.submit(multinode(batch, f"echo here; sleep 4; put '{mark.put}' late", 2))
    batch.reach(f"{number}#0", "RUNNING")
    batch.client.terminate_job(jobId=number, reason="stop")
    job = batch.ended(number)
    assert (job["status"], job["statusReason"]) == ("FAILED", "stop")
    assert [batch.job(f"{number}#{index}")["status"] for index in (0, 1)] == ["FAILED"] * 2
    assert mark.text() is None


@nodes_run
@pytest.mark.parametrize(
    "properties",
    [
        {"numNodes": 2, "mainNode": 2},
        {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": [{"targetNodes": "0:0"}]},
        {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": [{"targetNodes": "0:5"}]},
        {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": [{"targetNodes": "all"}]},
    ],
)
def test_nodes_that_cannot_be_are_refused(batch: Batch, properties: dict[str, Any]) -> None:
    for one in properties.get("nodeRangeProperties", ()):
        one["container"] = {
            "image": "any",
            "command": ["true"],
            "resourceRequirements": needs("1", "64"),
        }
    with pytest.raises(ClientError) as caught:
        batch.client.register_job_definition(
            jobDefinitionName=name("nodes"), type="multinode", nodeProperties=properties
        )
    assert code(caught.value) == "ClientException"
