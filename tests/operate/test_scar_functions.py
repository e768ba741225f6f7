"""Functions that SCAR deployed, as it leaves them in an account, become FDL."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import NotFoundError, PermanentError
from bridge.fdl import parse
from bridge.operate.scar import _function, from_function
from tests.operate.world import World

ROLE = "arn:aws:iam::000000000000:role/scar"
CONFIG: dict[str, Any] = {
    "name": "scar-split",
    "description": "Automatically generated lambda function",
    "execution_mode": "batch",
    "handler": "scar-split.lambda_handler",
    "init_script": "split.sh",
    "log_level": "DEBUG",
    "layers": [],
    "runtime": "python3.7",
    "container": {
        "image": "grycap/ffmpeg",
        "timeout_threshold": 10,
        "environment": {"Variables": {"RATE": "10", "API_KEY": "TOP-SECRET-A"}},
    },
    "input": [{"storage_provider": "s3", "path": "scar-videos/in"}],
    "output": [{"storage_provider": "minio.lab", "path": "frames/out"}],
    "storage_providers": {
        "minio": {
            "lab": {
                "endpoint": "https://minio.example.org",
                "access_key": "TOP-SECRET-B",
                "secret_key": "TOP-SECRET-C",
            }
        }
    },
    "supervisor": {"version": "latest"},
    "tags": {"createdby": "scar", "owner": "AIDA"},
}


def package() -> bytes:
    """A function's zip as SCAR made it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("scar-split.py", "def lambda_handler(event, context):\n    return {}\n")
        archive.writestr("split.sh", "#!/bin/sh\necho split\n")
    return buffer.getvalue()


def scar_init(world: World, name: str, config: dict[str, Any], **more: Any) -> str:
    """What `scar init` does with Lambda; the function's ARN."""
    text = base64.b64encode(json.dumps({**config, "name": name}).encode()).decode()
    answer = world.client("lambda").create_function(
        FunctionName=name,
        Role=ROLE,
        Runtime="python3.11",
        Handler=f"{name}.lambda_handler",
        Code={"ZipFile": package()},
        Timeout=300,
        MemorySize=1024,
        Tags={"createdby": "scar", "owner": "AIDA"},
        Environment={"Variables": {"FDL": text, "IMAGE_ID": "grycap/ffmpeg", "UDOCKER_BIN": "/x"}},
        **more,
    )
    return str(answer["FunctionArn"])


def notified(world: World, arn: str, bucket: str, folder: str) -> None:
    """The bucket's objects start the function."""
    world.account.ensure_bucket(bucket)
    world.client("lambda").add_permission(
        FunctionName=arn,
        StatementId="one",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn=f"arn:aws:s3:::{bucket}",
    )
    rules = [{"Name": "prefix", "Value": f"{folder}/"}]
    world.client("s3").put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [
                {
                    "LambdaFunctionArn": arn,
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": {"Key": {"FilterRules": rules}},
                }
            ]
        },
    )


def on_batch(world: World, name: str) -> None:
    """The objects that SCAR made in Batch, all under the function's name."""
    batch = world.client("batch")
    batch.register_job_definition(
        jobDefinitionName=name,
        type="container",
        containerProperties={
            "image": "grycap/ffmpeg",
            "vcpus": 2,
            "memory": 2048,
            "command": ["/bin/sh", "-c", "echo $EVENT | supervisor"],
        },
    )
    batch.create_compute_environment(
        computeEnvironmentName=name,
        type="MANAGED",
        state="ENABLED",
        computeResources={
            "type": "EC2",
            "minvCpus": 0,
            "maxvCpus": 4,
            "instanceTypes": ["m3.medium", "c5.large"],
            "subnets": ["subnet-1"],
            "securityGroupIds": ["sg-1"],
            "instanceRole": "arn:aws:iam::000000000000:instance-profile/ecsInstanceRole",
        },
    )


@pytest.fixture(scope="module")
def scar(world: World) -> Iterator[World]:
    arn = scar_init(world, "scar-split", CONFIG)
    notified(world, arn, "scar-videos", "in")
    on_batch(world, "scar-split")
    yield world
    world.client("lambda").delete_function(FunctionName="scar-split")


def test_a_function_becomes_fdl_that_validates_without_a_secret(
    scar: World, tmp_path: Path
) -> None:
    done = scar.run("import-scar", "scar-split", "-o", tmp_path / "fdl.yaml")
    assert done.status == 0, done.err
    text = (tmp_path / "fdl.yaml").read_text()
    assert "TOP-SECRET" not in text + done.out + done.err
    checked = scar.run("validate", tmp_path / "fdl.yaml")
    if (tmp_path / "split.sh").exists():
        assert checked.status == 0, checked.err
    else:
        assert "put it beside this file" in done.err

    service = parse(text).service("scar-split")
    assert service.image == "grycap/ffmpeg"
    assert service.execution_mode == "batch"
    assert [str(path) for path in service.inputs] == ["s3.default:scar-videos/in"]
    assert [str(path) for path in service.outputs] == ["minio.lab:frames/out"]
    assert (service.variables, list(service.secrets)) == ({"RATE": "10"}, ["API_KEY"])
    options = service.options
    assert options is not None
    assert (options.function.memory, options.function.timeout) == (1024, 300)
    assert (options.batch.vcpus, options.batch.memory) == (2, 2048)
    assert options.batch.compute_resources.instance_types == ("c5.large",)
    assert options.batch.compute_resources.max_v_cpus == 4
    assert options.iam.role == ROLE


def test_what_the_user_must_know_is_said(scar: World) -> None:
    done = scar.run("import-scar", "scar-split")
    assert done.status == 0
    for said in ("s3://scar-videos/in still notifies", "m3.medium", "python3.7", "role is kept"):
        assert said in done.err
    assert "storage_providers.minio.lab.access_key" in done.err
    found = scar.ok("import-scar", "scar-split", "--reveal")
    assert "TOP-SECRET-B" in found["fdl"]
    assert found["blank_secrets"] == []


def test_the_function_itself_is_only_read(scar: World) -> None:
    client = scar.client("lambda")
    before = client.get_function_configuration(FunctionName="scar-split")
    rules = scar.client("s3").get_bucket_notification_configuration(Bucket="scar-videos")
    from_function(scar.account, "scar-split")
    after = client.get_function_configuration(FunctionName="scar-split")
    again = scar.client("s3").get_bucket_notification_configuration(Bucket="scar-videos")
    for answer in (before, after, rules, again):
        answer.pop("ResponseMetadata")
    assert (before, rules) == (after, again)


def test_a_function_without_its_config_is_known_by_its_permissions(scar: World) -> None:
    arn = scar_init(scar, "scar-bare", {})
    scar.client("lambda").update_function_configuration(
        FunctionName="scar-bare", Environment={"Variables": {"IMAGE_ID": "a/b", "MINE": "1"}}
    )
    notified(scar, arn, "scar-bare-bucket", "in/deep")
    made = from_function(scar.account, "scar-bare")
    service = parse(made.text).service("scar-bare")
    assert service.image == "a/b"
    assert [path.path for path in service.inputs] == ["scar-bare-bucket/in/deep"]
    assert any("carries no config" in note for note in made.notes)


def test_a_function_of_somebody_else_is_not_imported(scar: World) -> None:
    with pytest.raises(PermanentError, match="was not deployed by SCAR"):
        from_function(scar.account, "shout")
    with pytest.raises(NotFoundError, match="nobody-has-it"):
        from_function(scar.account, "nobody-has-it")


def test_the_script_is_taken_from_a_package(tmp_path: Path) -> None:
    (tmp_path / "package.zip").write_bytes(package())
    url = (tmp_path / "package.zip").as_uri()
    assert _function._from_package(url, "split.sh") == b"#!/bin/sh\necho split\n"
    assert _function._from_package(url, "absent.sh") is None
    (tmp_path / "broken.zip").write_bytes(b"no zip")
    assert _function._from_package((tmp_path / "broken.zip").as_uri(), "split.sh") is None


def test_an_image_function_keeps_its_script(scar: World, tmp_path: Path) -> None:
    found = {
        "Configuration": {"PackageType": "Image"},
        "Code": {"ImageUri": "a/b"},
    }
    notes: list[str] = []
    _function._fetch_script(found, "split.sh", tmp_path, notes)
    assert "in the function's image" in notes[0]
    assert not list(tmp_path.iterdir())
