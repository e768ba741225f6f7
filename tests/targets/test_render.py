"""The supervisor's view of a service: complete, stable, and without credentials."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bridge.errors import PermanentError
from bridge.fdl import AwsOptions
from bridge.fdl.model import ProviderRef, Resources, Service, StoragePath
from bridge.fdl.options import ContainerOptions, LambdaOptions
from bridge.secret import Secret
from bridge.supervisor import parse_service
from bridge.targets.render import ProviderAccess, service_document, used_access

MINIO = ProviderRef("minio")
S3 = ProviderRef("s3")
OTHER = ProviderRef("webdav", "lab")
KEY = Secret("a-secret-key")

SERVICE = Service(
    name="resize",
    origin="oscar",
    image="busybox",
    resources=Resources(Decimal("0.5"), 1024),
    script_text="true\n",
    inputs=(StoragePath(MINIO, "photos/in"),),
    outputs=(
        StoragePath(S3, "small/out", prefix=("a", "b"), suffix=(".png",)),
        StoragePath(MINIO, "photos/out"),
    ),
    variables={"WIDTH": "100"},
    secrets={"TOKEN": Secret("a-secret-token")},
    log_level="DEBUG",
    file_stage_in=True,
)
ACCESS = {
    MINIO: ProviderAccess(
        {"endpoint": "http://127.0.0.1:9000", "verify": False}, {"secret_key": KEY}
    ),
    OTHER: ProviderAccess({"hostname": "dav.example.org"}, {"password": KEY}),
}


def test_a_service_is_rendered_with_upstreams_names() -> None:
    assert service_document(SERVICE, ACCESS) == {
        "name": "resize",
        "input": [{"storage_provider": "minio.default", "path": "photos/in"}],
        "output": [
            {
                "storage_provider": "s3.default",
                "path": "small/out",
                "prefix": ["a", "b"],
                "suffix": [".png"],
            },
            {"storage_provider": "minio.default", "path": "photos/out"},
        ],
        "storage_providers": {
            "minio": {"default": {"endpoint": "http://127.0.0.1:9000", "verify": False}}
        },
        "file_stage_in": True,
        "log_level": "DEBUG",
    }


def test_no_secret_is_in_it() -> None:
    text = json.dumps(service_document(SERVICE, ACCESS))
    assert "a-secret" not in text
    assert "hidden" not in text


def test_only_the_providers_that_are_used_and_given() -> None:
    assert list(used_access(SERVICE, ACCESS)) == [MINIO]
    both = {**ACCESS, S3: ProviderAccess({"region": "eu-west-1"})}
    assert list(used_access(SERVICE, both)) == [MINIO, S3]
    assert service_document(SERVICE, both)["storage_providers"]["s3"] == {
        "default": {"region": "eu-west-1"}
    }


def test_settings_become_json() -> None:
    access = {MINIO: ProviderAccess({"a": Decimal("1.5"), "b": (1, None), "c": {"d": True}})}
    document = service_document(SERVICE, access)["storage_providers"]["minio"]["default"]
    assert json.loads(json.dumps(document)) == {"a": 1.5, "b": [1, None], "c": {"d": True}}


@pytest.mark.parametrize(("value", "kind"), [(KEY, "a secret"), (object(), "of type object")])
def test_what_is_no_setting_is_refused(value: object, kind: str) -> None:
    with pytest.raises(PermanentError, match=rf"minio.default.key is {kind}") as error:
        service_document(SERVICE, {MINIO: ProviderAccess({"key": value})})
    assert "a-secret" not in str(error.value)


@pytest.mark.parametrize(
    ("mode", "there"), [("lambda", True), ("lambda-batch", True), ("batch", False)]
)
def test_what_scar_keeps_back_is_rendered_for_lambda(mode: Any, there: bool) -> None:
    container = ContainerOptions(timeout_threshold=25)
    options = AwsOptions(function=LambdaOptions(container=container))
    document = service_document(replace(SERVICE, options=options, execution_mode=mode), ACCESS)
    assert document.get("timeout_threshold") == (25 if there else None)
    assert parse_service(document).timeout_threshold == (25.0 if there else None)
    assert "timeout_threshold" not in service_document(SERVICE, ACCESS)
