"""The stock CDK CLI against `oscar-bridge up`: bootstrap, deploy, change, destroy."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.standing import Cdk, Up, up, why_no_npm
from tests.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(why_no_npm()), reason=why_no_npm()),
]

BUCKET = "not-of-the-stack"


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[Up]:
    # With plain processes it is tried in test_deploy.py, with our own stacks.
    with up(tmp_path, engine="container") as running:
        yield running


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The small app in a folder that may be written to."""
    folder = tmp_path / "app"
    shutil.copytree(Path(__file__).parent / "cdk_app", folder)
    (folder / "cdk.json").write_text(
        json.dumps({"app": "python app.py", "context": {"bucket": BUCKET}})
    )
    return folder


def base(standing: Up) -> Any:
    found = standing.client("ssm").get_parameter(Name="/small/base")
    return json.loads(found["Parameter"]["Value"])


def told(standing: Up, bucket: str, key: str) -> str:
    """What the function wrote because of a new object."""
    s3 = standing.client("s3")
    s3.put_object(Bucket=bucket, Key=f"in/{key}", Body=b"x")

    def there() -> str | None:
        try:
            return s3.get_object(Bucket=bucket, Key=f"out/{key}")["Body"].read().decode()
        except s3.exceptions.NoSuchKey:
            return None

    return eventually(there)


def ran(standing: Up, names: Any) -> None:
    """A job of the stack's queue does something."""
    s3, batch = standing.client("s3"), standing.client("batch")
    where = {"Bucket": names["own"], "Key": "job"}
    number = batch.submit_job(
        jobName="job",
        jobQueue=names["queue"],
        jobDefinition=names["definition"],
        containerOverrides={
            "environment": [
                {"name": "PUT", "value": s3.generate_presigned_url("put_object", Params=where)}
            ]
        },
    )["jobId"]

    def ended() -> Any:
        job = batch.describe_jobs(jobs=[number])["jobs"][0]
        return job if job["status"] in {"SUCCEEDED", "FAILED"} else None

    job = eventually(ended)
    assert job["status"] == "SUCCEEDED", job
    assert s3.get_object(**where)["Body"].read() == b"by a job"
    s3.delete_object(**where)


def answer(standing: Up, names: Any) -> Any:
    url = standing.variables["AWS_ENDPOINT_URL"]
    path = f"{url}/restapis/{names['rest']}/prod/_user_request_/some/path"
    return json.loads(urllib.request.urlopen(path, timeout=30).read())


def empty(standing: Up, bucket: str) -> None:
    s3 = standing.client("s3")
    for one in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
        s3.delete_object(Bucket=bucket, Key=one["Key"])


@pytest.mark.docker
def test_the_stock_cdk_deploys_changes_and_destroys(
    standing: Up, app: Path, tmp_path: Path
) -> None:
    cdk = Cdk(tmp_path / "home", standing.variables)
    s3 = standing.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    done = cdk("bootstrap", cwd=app)
    assert done.status == 0, done.err
    deploy = ("deploy", "--all", "--require-approval", "never")
    done = cdk(*deploy, cwd=app)
    assert done.status == 0, done.err
    names = base(standing)
    assert told(standing, names["own"], "a") == "one"
    assert told(standing, BUCKET, "b c") == "one"
    assert answer(standing, names) == {"path": "/some/path", "word": "one"}
    ran(standing, names)
    done = cdk(*deploy, "-c", "word=two", cwd=app)
    assert done.status == 0, done.err
    changed = base(standing)
    assert changed["function"] == names["function"]
    assert changed["definition"] != names["definition"]
    assert told(standing, names["own"], "c") == "two"
    assert answer(standing, names)["word"] == "two"
    ran(standing, changed)
    # What was made for the last deployment is made once.
    made = ("--app", "cdk.out")
    assert cdk("diff", "--fail", *made, cwd=app).status == 0
    empty(standing, names["own"])
    done = cdk("destroy", "--all", "--force", *made, cwd=app)
    assert done.status == 0, done.err
    left = standing.client("cloudformation").describe_stacks()["Stacks"]
    assert [one["StackName"] for one in left] == ["CDKToolkit"]
    assert standing.client("lambda").list_functions()["Functions"] == []
    assert standing.client("batch").describe_job_queues()["jobQueues"] == []
    # Not of the stack, so it stays as it is, but without what the stack asked for.
    s3.head_object(Bucket=BUCKET, Key="out/b c")
