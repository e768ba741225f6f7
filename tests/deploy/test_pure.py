"""What needs no endpoint: comparing templates, masks, reasons, reading assemblies."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.deploy import deployment_name, read_assembly
from bridge.deploy._assets import _packed
from bridge.deploy._changesets import Foreseen
from bridge.deploy._events import failure_of, line_of
from bridge.deploy._faults import denial
from bridge.deploy._masking import Mask
from bridge.deploy._replacement import recreates
from bridge.deploy._rows import resource_rows
from bridge.deploy._templates import compare, dependents, holds_data, references, without
from bridge.deploy.model import FileAsset
from bridge.errors import PermanentError, UnsafePathError, UsageError
from bridge.secret import Secret


def template(**resources: Any) -> dict[str, Any]:
    return {"Resources": resources}


def thing(kind: str = "AWS::SQS::Queue", /, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": properties}


FN = "AWS::Lambda::Function"

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abcKV", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
bodies = st.dictionaries(st.sampled_from("ABCD"), values, max_size=4)


@given(bodies, bodies)
def test_templates_differ_exactly_when_their_properties_do(left: Any, right: Any) -> None:
    before, after = template(X=thing(**left)), template(X=thing(**right))
    plain = {k: v for k, v in left.items() if v not in (None, {})}
    other = {k: v for k, v in right.items() if v not in (None, {})}
    assert not compare(before, before)
    if compare(before, after):
        assert left != right
    elif json.dumps(plain, sort_keys=True) != json.dumps(other, sort_keys=True):
        # Only what is nothing (null, an empty map) may be passed over; True equals 1.
        assert left == right or _nothing_but_holes(left, right)


def _nothing_but_holes(left: Any, right: Any) -> bool:
    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: c for k, v in value.items() if (c := clean(v)) not in (None, {})}
        if isinstance(value, list):
            return {str(k): c for k, v in enumerate(value) if (c := clean(v)) not in (None, {})}
        return value

    return bool(clean(left) == clean(right))


def test_a_comparison_names_the_innermost_place() -> None:
    before = template(
        A=thing(
            FN,
            FunctionName="a",
            MemorySize=1,
            Environment={"Variables": {"X": "1"}},
            Tags=[{"Key": "k", "Value": "v"}],
            Code={"ImageUri": {"Fn::Sub": "${R}/a"}},
        ),
        Gone=thing(),
    )
    after = template(
        A=thing(
            FN,
            FunctionName="a",
            MemorySize=2,
            Environment={"Variables": {"X": "2", "Y": "3"}},
            Tags=[{"Key": "k", "Value": "w"}],
            Code={"ImageUri": "b"},
        ),
        New=thing(QueueName="q"),
    )
    found = {one.logical: one for one in compare(before, after).resources}
    assert {name: one.action for name, one in found.items()} == {
        "A": "update",
        "Gone": "delete",
        "New": "create",
    }
    assert found["A"].name == "a" and found["New"].name == "q"
    assert {path: (b, a) for path, b, a in found["A"].properties} == {
        "MemorySize": (1, 2),
        "Environment.Variables.X": ("1", "2"),
        "Environment.Variables.Y": (None, "3"),
        "Tags.k": ("v", "w"),
        "Code.ImageUri": ({"Fn::Sub": "${R}/a"}, "b"),
    }


def test_metadata_is_no_change_and_policies_of_deletion_come_with_the_next_one() -> None:
    one = template(A={**thing(), "Metadata": {"a": 1}})
    assert not compare(one, template(A=thing()))
    kept = compare(template(A=thing()), template(A={**thing(), "DeletionPolicy": "Retain"}))
    assert not kept and kept.quiet == (("A.DeletionPolicy", None, "Retain"),)
    outputs = compare(template(A=thing()), {**template(A=thing()), "Outputs": {"O": {"Value": 1}}})
    assert outputs.sections == (("Outputs.O.Value", None, 1),)


def test_what_depends_on_what_is_taken_out_goes_too() -> None:
    whole = {
        **template(
            A=thing(),
            B=thing(Source={"Fn::GetAtt": ["A", "Arn"]}),
            C=thing(Text={"Fn::Sub": ["${B.Name}-${X}", {"X": {"Ref": "D"}}]}),
            D={**thing(), "DependsOn": ["A", "E"]},
            E=thing(Text={"Fn::Join": ["", ["x", {"Ref": "AWS::Region"}]]}),
        ),
        "Outputs": {"One": {"Value": {"Ref": "A"}}, "Two": {"Value": {"Ref": "E"}}},
    }
    assert dependents(whole, frozenset("A")) == frozenset("ABC")
    left = without(whole, frozenset("A"))
    assert set(left["Resources"]) == {"D", "E"}
    assert left["Resources"]["D"]["DependsOn"] == ["E"]
    assert set(left["Outputs"]) == {"Two"}
    assert len(without(template(A=thing()), frozenset("A"))["Resources"]) == 1
    assert references({"Fn::Sub": "${!Literal} ${A} ${B.Arn}"}) == {"A", "B"}


def test_what_holds_data_is_known() -> None:
    whole = template(
        A=thing("AWS::S3::Bucket"), B={**thing(), "DeletionPolicy": "Retain"}, C=thing()
    )
    assert [holds_data(whole, one) for one in "ABC"] == [True, True, False]


@pytest.mark.parametrize(
    ("kind", "path", "word"),
    [
        (FN, "FunctionName", "always"),
        (FN, "MemorySize", "never"),
        ("AWS::Batch::ComputeEnvironment", "Tags.a", "always"),
        ("AWS::Batch::ComputeEnvironment", "ComputeResources.Subnets", "perhaps"),
        ("AWS::Batch::ComputeEnvironment", "ComputeResources.MaxvCpus", "never"),
        ("AWS::EFS::AccessPoint", "PosixUser.Uid", "always"),
        ("AWS::Some::Other", "Name", "never"),
    ],
)
def test_create_only_properties_are_data(kind: str, path: str, word: str) -> None:
    assert recreates(kind, path) == word


def test_rows_say_what_is_replaced_by_the_table_or_as_foreseen() -> None:
    diff = compare(template(A=thing(QueueName="a")), template(A=thing(QueueName="b")))
    ((_, row),) = resource_rows(diff, "s", Mask())
    assert row.action == "replace" and "QueueName" in row.why
    assert [one.recreates for one in row.properties] == [True]
    calm = Foreseen("Modify", "AWS::SQS::Queue", "False", frozenset(), frozenset())
    ((_, row),) = resource_rows(diff, "s", Mask(), {"A": calm})
    assert row.action == "update"
    follows = Foreseen("Modify", FN, "Conditional", frozenset(), frozenset(), "A.Arn")
    rows = dict(resource_rows(diff, "s", Mask(), {"A": calm, "F": follows}))
    assert rows["F"].why == "follows A.Arn, may be replaced"


def test_secrets_are_masked_wherever_they_stand() -> None:
    mask = Mask([Secret('s3cr"t-value'), Secret("ab")])
    shown = mask.text("Environment.Variables.X", {"a": ['x s3cr"t-value y'], "b": "ab"})
    assert "s3cr" not in shown and "hidden" in shown and '"ab"' not in shown
    for name in ("PASSWORD", "DB_SECRET", "ApiKey", "aws_secret_access_key", "token"):
        assert mask.text(f"Environment.Variables.{name}", "visible") == "hidden"
        assert "visible" not in mask.text("Environment", {"Variables": {name: "visible"}})
    assert mask.text("Environment.Variables.BRIDGE_SECRETS_ID", "a/b") == '"a/b"'
    assert mask.text("KeySchema", [{"AttributeName": "job"}]) == '[{"AttributeName": "job"}]'
    assert mask.text("x", None) == ""


@pytest.mark.parametrize(
    ("text", "action", "resource"),
    [
        (
            "User: arn:aws:iam::1:user/x is not authorized to perform: cloudformation:CreateStack "
            "on resource: arn:aws:cloudformation:us-east-1:1:stack/a/* because no policy allows it",
            "cloudformation:CreateStack",
            "arn:aws:cloudformation:us-east-1:1:stack/a/*",
        ),
        (
            'Resource handler returned message: "User: arn:aws:sts::1:assumed-role/a/b is not '
            "authorized to perform: lambda:CreateFunction on resource: "
            'arn:aws:lambda:eu-west-1:1:function:f (Service: Lambda, Status Code: 403)"',
            "lambda:CreateFunction",
            "arn:aws:lambda:eu-west-1:1:function:f",
        ),
        (
            "User: arn:aws:iam::1:user/x is not authorized to perform: ecr:GetAuthorizationToken",
            "ecr:GetAuthorizationToken",
            "*",
        ),
    ],
)
def test_a_denial_names_action_and_resource(text: str, action: str, resource: str) -> None:
    found = denial(text)
    assert found is not None
    assert f"may not {action} on {resource}" in found.message
    assert action in found.hint
    assert denial("Rate exceeded") is None


def event(logical: str, status: str, reason: str, second: int) -> dict[str, Any]:
    return {
        "EventId": f"{logical}{second}",
        "StackId": "arn:stack",
        "LogicalResourceId": logical,
        "PhysicalResourceId": "arn:stack" if logical == "app" else f"{logical}-id",
        "ResourceType": FN if logical != "app" else "AWS::CloudFormation::Stack",
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
        "Timestamp": datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC),
    }


def test_the_first_failure_explains_the_others() -> None:
    events = [
        event("app", "CREATE_FAILED", "The following resource(s) failed: [A, B]", 1),
        event("B", "CREATE_FAILED", "Resource creation cancelled", 2),
        event("A", "CREATE_FAILED", "no such role", 3),
        event("C", "DELETE_FAILED", "later", 4),
    ]
    found = failure_of(events[::-1], "app")
    assert found is not None
    assert found.sentence == f"{FN} A (A-id) could not be created: no such role"
    assert failure_of([events[0]], "app") is not None
    assert failure_of([], "app") is None
    assert line_of(events[2], "app") == "Lambda Function A: create failed (no such role)"


def test_names_of_deployments() -> None:
    assert deployment_name(Path("a/my_file.v2.yaml")) == "my-file-v2"
    assert deployment_name(Path("___.yaml")) == "services"
    assert deployment_name(Path("a.yaml"), "other") == "other"
    with pytest.raises(UsageError, match="--name"):
        deployment_name(Path("a.yaml"), "no/good")


def assembly(folder: Path, *, assets: dict[str, Any] | None = None, **artifact: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "s.template.json").write_text("{}")
    (folder / "s.assets.json").write_text(json.dumps(assets or {}))
    artifacts = {
        "s.assets": {"type": "cdk:asset-manifest", "properties": {"file": "s.assets.json"}},
        "s": {
            "type": "aws:cloudformation:stack",
            "properties": {"templateFile": "s.template.json"},
            "dependencies": ["s.assets"],
            **artifact,
        },
    }
    (folder / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))
    return folder


def read(folder: Path) -> Any:
    return read_assembly(folder, name="n", base="b", account="1", region="us-east-1")


def test_what_only_the_cdk_can_deploy_is_refused(tmp_path: Path) -> None:
    images = assembly(tmp_path / "a", assets={"dockerImages": {"x": {}}})
    with pytest.raises(PermanentError, match="images that the CDK builds"):
        read(images)
    made = assembly(tmp_path / "b", assets={"files": {"x": {"source": {"executable": ["x"]}}}})
    with pytest.raises(PermanentError, match="a program makes"):
        read(made)
    away = {
        "source": {"path": "../x"},
        "destinations": {"d": {"bucketName": "b", "objectKey": "k"}},
    }
    with pytest.raises(UnsafePathError):
        read(assembly(tmp_path / "c", assets={"files": {"x": away}}))
    with pytest.raises(PermanentError, match="cannot read"):
        read(tmp_path / "nothing")


def test_the_apps_warnings_are_notes_and_its_errors_stop(tmp_path: Path) -> None:
    def said(kind: str) -> dict[str, Any]:
        return {"metadata": {"/s": [{"type": f"aws:cdk:{kind}", "data": "mind this [ack: a:b]"}]}}

    assert read(assembly(tmp_path / "a", **said("warning"))).notes == ("mind this",)
    with pytest.raises(PermanentError, match="mind this"):
        read(assembly(tmp_path / "b", **said("error")))


def test_an_archive_is_the_same_whenever_it_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    script = folder / "run.sh"
    script.write_text("true\n")
    script.chmod(0o755)
    asset = FileAsset(folder, "zip", "b", "k")
    with _packed(asset) as one:
        first = one.read_bytes()
    script.touch()
    with _packed(asset) as two:
        assert two.read_bytes() == first
