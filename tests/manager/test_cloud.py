"""Inputs on S3: events pulled from a queue of a real AWS endpoint, jobs with keys of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import TargetUnavailable, UsageError
from bridge.local._cloud import account_of
from bridge.local.aws import AwsEndpoint
from bridge.scheduler import offer
from bridge.secret import Secret
from bridge.targets import JobState
from bridge.targets.aws import Account, PulledBuckets
from bridge.targets.render import ProviderAccess
from manager.cloud import MINIO
from manager.cluster import InCluster
from manager.cluster import account_of as account_of_manager
from manager.service import read_source
from manager.settings import Reader
from manager.store import ServiceRow, ServiceStore
from tests.waiting import eventually

from .conftest import Live, echo, minio, serve

SHOUT = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"\n'
BUCKET = "far-away"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsEndpoint]:
    with AwsEndpoint(tmp_path_factory.mktemp("aws") / "endpoint") as one:
        yield one


@pytest.fixture
def account(endpoint: AwsEndpoint) -> Account:
    return account_of(endpoint, "a-manager")


def wish(name: str, endpoint: AwsEndpoint, *, keys: bool = True, where: str = "") -> dict[str, Any]:
    """A service that takes from S3 and writes there."""
    told = endpoint.environment()
    own = {"access_key": told["AWS_ACCESS_KEY_ID"], "secret_key": told["AWS_SECRET_ACCESS_KEY"]}
    own |= {"endpoint": where or endpoint.url, "region": told["AWS_REGION"]}
    return echo(
        name=name,
        script=SHOUT,
        input=[{"storage_provider": "s3", "path": f"{BUCKET}/in"}],
        output=[{"storage_provider": "s3", "path": f"{BUCKET}/out"}],
        **({"storage_providers": {"s3": {"default": own}}} if keys else {}),
    )


def ended(live: Live, count: int) -> bool:
    found = list(live.manager.parts.jobs.jobs(limit=100))
    return len(found) == count and all(one.state is JobState.SUCCEEDED for one in found)


def test_an_object_in_s3_is_one_job_also_when_it_came_while_nobody_listened(
    endpoint: AwsEndpoint, account: Account, tmp_path: Path
) -> None:
    s3 = account.client("s3")
    with ExitStack() as stack:
        live = serve(tmp_path, stack, account=account)
        answer = live.ask("POST", "/system/services", wish("shout", endpoint))
        assert answer.status == 201, answer.text
        s3.put_object(Bucket=BUCKET, Key="in/a.txt", Body=b"hello")
        assert eventually(lambda: ended(live, 1)), list(live.manager.parts.jobs.jobs())
        assert s3.get_object(Bucket=BUCKET, Key="out/a.txt")["Body"].read() == b"HELLO"
        # A listing finds what has its job already.
        assert live.manager.reconcile() == ()
    s3.put_object(Bucket=BUCKET, Key="in/b.txt", Body=b"again")
    with ExitStack() as stack:
        live = serve(tmp_path, stack, account=account)
        assert eventually(lambda: ended(live, 2)), list(live.manager.parts.jobs.jobs())
        assert live.ask("DELETE", "/system/services/shout").status == 204
        found = s3.get_bucket_notification_configuration(Bucket=BUCKET)
        assert not found.get("QueueConfigurations")
    queues = account.client("sqs").list_queues()["QueueUrls"]
    assert [url.rpartition("/")[2] for url in queues] == ["a-manager-events"]
    names = [one["Name"] for one in s3.list_buckets()["Buckets"]]
    assert names == [BUCKET]


def test_the_queue_is_one_managers_and_the_same_after_a_restart(tmp_path: Path) -> None:
    def name(folder: str) -> str:
        with ServiceStore(tmp_path / folder) as state:
            found = account_of_manager(Reader({"AWS_REGION": "eu-west-1"}), "my.oscar", state)
            assert found is not None
            assert found.region == "eu-west-1"
            return found.settings.name

    assert name("a") == name("a") != name("b")
    assert re.fullmatch(r"oscar-bridge-my-oscar-[0-9a-f]{8}", name("b"))
    with ServiceStore(tmp_path / "a") as state:
        assert account_of_manager(Reader({}), "my.oscar", state) is None


def test_what_cannot_be_heard_or_read_is_refused_with_the_way_out(
    endpoint: AwsEndpoint, account: Account, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        live = serve(tmp_path, stack, account=account)
        for body, said in (
            (wish("no-keys", endpoint, keys=False), "storage_providers.s3.default"),
            (wish("elsewhere", endpoint, where="http://127.0.0.1:9"), f"at {endpoint.url} only"),
        ):
            answer = live.ask("POST", "/system/services", body)
            assert answer.status == 400
            assert said in answer.text


def test_a_service_whose_account_does_not_answer_waits_and_others_work(
    endpoint: AwsEndpoint, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        live = serve(tmp_path, stack, account=account)
        assert live.ask("POST", "/system/services", wish("shout", endpoint)).status == 201
    monkeypatch.setattr("manager.core._SOON", 0.1)
    with ExitStack() as stack:
        with monkeypatch.context() as away:
            away.setattr(PulledBuckets, "ensure", _no_answer)
            live = serve(tmp_path, stack, account=account)
            assert live.manager.ready
            assert live.ask("POST", "/run/" + live.create(), b"eA==").status == 200
        account.client("s3").put_object(Bucket=BUCKET, Key="in/late.txt", Body=b"x")
        assert eventually(lambda: ended(live, 1)), list(live.manager.parts.jobs.jobs())


def _no_answer(*_: object) -> bool:
    raise TargetUnavailable("bucket: no route to host")


ROLE = {"AWS_REGION": "eu-west-1", "BRIDGE_AWS_ROLE": "arn:aws:iam::123456789012:role/jobs"}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"BRIDGE_AWS_TARGETS": "lambda,ec2", **ROLE}, "'ec2' is no target on AWS"),
        ({"BRIDGE_AWS_TARGETS": "lambda"}, "AWS_REGION is not"),
        ({"BRIDGE_AWS_TARGETS": "lambda", "AWS_REGION": "x"}, "BRIDGE_AWS_ROLE is not set"),
        ({"BRIDGE_AWS_TARGETS": "batch", **ROLE}, "BRIDGE_AWS_SUBNETS is not set"),
        ({"OSCAR_BRIDGE_IMAGES": "never", "BRIDGE_AWS_TARGETS": "lambda", **ROLE}, "'never'"),
    ],
)
def test_targets_on_aws_that_are_not_told_whole_are_refused(
    told: dict[str, str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as error, ExitStack() as stack:
        InCluster(cluster_variables(tmp_path) | told, stack)
    assert said in error.value.message


def cluster_variables(folder: Path) -> dict[str, str]:
    return {
        "BRIDGE_STATE": str(folder),
        "KUBECONFIG": str(folder / "none"),
        "OSCAR_USERNAME": "oscar",
        "OSCAR_PASSWORD": "secret",
        "MINIO_ENDPOINT": "https://minio.minio:9000",
        "MINIO_ACCESS_KEY": "a",
        "MINIO_SECRET_KEY": "b",
    }


def test_in_a_cluster_lambda_and_batch_are_beside_it_and_reach_minio_where_it_is_said(
    tmp_path: Path,
) -> None:
    """Nothing is asked of anybody."""
    told = {"BRIDGE_AWS_TARGETS": "lambda batch", "BRIDGE_AWS_SUBNETS": "subnet-1", **ROLE}
    for outside, refused in (("", "cannot reach minio.default"), ("https://me.example", "")):
        more = {"BRIDGE_AWS_MINIO": outside} if outside else {}
        with ExitStack() as stack:
            placed = InCluster(cluster_variables(tmp_path) | told | more, stack)
            made = placed.manager
            assert [spec.name for spec in made.specs] == ["oscar", "lambda", "batch"]
            made.parts.access[MINIO] = ProviderAccess({"endpoint": "https://minio.minio:9000"})
            assert made.parts.abroad[MINIO].settings["endpoint"] == outside or refused
            source = read_source(echo(input=minio("bucket/in"), placement={"targets": ["lambda"]}))
            service = made._deployed(ServiceRow("", source, Secret("t"), "o", "o", 0.0)).service
            found = offer(service, None, placed._state(made.specs[1], 0, 0))
            assert found.feasible is not bool(refused)
            assert refused in " ".join(reason.sentence for reason in found.reasons)
