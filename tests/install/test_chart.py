"""The chart, rendered by Helm's own code, and the plain manifests that are made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.kubernetes.render import CHART, FILE, VALUES, objects, render
from tests.command import ROOT

helm = pytest.importorskip("helm_python", reason="there is no wheel of Helm for this platform")

LEAST = {
    "admin": {"existingSecret": "oscar-admin"},
    "storage": {"endpoint": "https://minio.example.org", "existingSecret": "oscar-minio"},
}


def rendered(**more: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Objects by kind and name, of the least values and these."""
    found = objects(render({**LEAST, **more}, name="oscar-bridge", namespace="oscar"))
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def deployment(**more: Any) -> dict[str, Any]:
    return rendered(**more)["Deployment", "oscar-bridge"]


def variables(**more: Any) -> dict[str, Any]:
    [container] = deployment(**more)["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def test_helm_finds_nothing_to_complain_of() -> None:
    report = helm.lint(CHART, LEAST, strict=True)
    assert report["errors"] == []


def test_nothing_is_installed_before_the_secrets_are_named() -> None:
    with pytest.raises(helm.HelmValuesError, match="existingSecret"):
        render({}, name="x", namespace="y")


@pytest.mark.parametrize(
    "wrong",
    [
        {"storage": {"endpoint": "minio:9000", "existingSecret": "s"}},
        {"env": {"OSCAR_PASSWORD": "in the clear"}},
        {"env": {"MINIO_SECRET_KEY": "in the clear"}},
        {"env": {"BRIDGE_DATABASE_URL": "postgresql://in:the@clear/"}},
        {"replicas": 2},
        {"oidc": {"enabled": True, "issuers": ["https://idp.example.org"]}},
        {"services": {"backend": "openfaas"}},
        {"state": {"size": "much"}},
        {"aws": {"existingSecret": "oscar-aws"}},
        {"aws": {"region": "eu-west-1", "targets": ["lambda"]}},
        {
            "aws": {
                "region": "eu-west-1",
                "targets": ["batch"],
                "role": "arn:aws:iam::123456789012:role/r",
            }
        },
    ],
)
def test_wrong_values_are_refused_by_their_schema(wrong: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmValuesError):
        rendered(**wrong)


def test_one_manager_has_one_volume() -> None:
    made = rendered(state={"existingClaim": "mine"})
    assert ("PersistentVolumeClaim", "oscar-bridge") not in made
    spec = made["Deployment", "oscar-bridge"]["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["template"]["spec"]["volumes"][0] == {
        "name": "state",
        "persistentVolumeClaim": {"claimName": "mine"},
    }


def test_several_managers_have_a_database_and_no_volume() -> None:
    more = {"replicas": 2, "database": {"existingSecret": "oscar-database"}}
    made = rendered(**more)
    assert ("PersistentVolumeClaim", "oscar-bridge") not in made
    spec = made["Deployment", "oscar-bridge"]["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (2, "RollingUpdate")
    assert [one["name"] for one in spec["template"]["spec"]["volumes"]] == ["scratch"]
    found = variables(**more)
    for name in ("BRIDGE_DATABASE_URL", "BRIDGE_STATE_KEY"):
        assert found[name]["secretKeyRef"] == {"name": "oscar-database", "key": name}
    assert "BRIDGE_STATE" not in found
    alone = variables()
    assert "BRIDGE_DATABASE_URL" not in alone
    assert alone["BRIDGE_STATE_KEY"]["secretKeyRef"]["optional"]


def test_the_manager_has_no_rights_on_its_node() -> None:
    pod = deployment()["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {one["mountPath"] for one in container["volumeMounts"]} == {
        "/var/lib/oscar-bridge",
        "/tmp",
    }


def test_secrets_stay_in_their_secrets() -> None:
    found = variables()
    for name in ("OSCAR_USERNAME", "OSCAR_PASSWORD"):
        assert found[name]["secretKeyRef"] == {"name": "oscar-admin", "key": name}
    for name in ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"):
        assert found[name]["secretKeyRef"] == {"name": "oscar-minio", "key": name}


def test_services_may_run_on_aws_where_it_is_said_how() -> None:
    role = "arn:aws:iam::123456789012:role/oscar-bridge-jobs"
    said = {"targets": ["lambda", "batch"], "role": role, "subnets": ["subnet-1", "subnet-2"]}
    found = variables(aws={"region": "eu-west-1", **said})
    assert found["BRIDGE_AWS_TARGETS"] == "lambda,batch"
    assert found["BRIDGE_AWS_ROLE"] == role
    assert found["BRIDGE_AWS_SUBNETS"] == "subnet-1,subnet-2"
    assert "BRIDGE_AWS_TARGETS" not in variables(aws={"region": "eu-west-1"})


def test_keys_of_aws_come_of_a_secret_where_there_is_a_region() -> None:
    found = variables(aws={"region": "eu-west-1", "existingSecret": "oscar-aws"})
    assert found["AWS_REGION"] == "eu-west-1"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert found[name]["secretKeyRef"] == {"name": "oscar-aws", "key": name}
    assert not [name for name in variables() if name.startswith("AWS_")]


def test_settings_come_under_the_names_of_upstream() -> None:
    found = variables(
        oidc={"enabled": True, "issuers": ["https://a", "https://b"], "groups": ["vo.example"]},
        services={"namespace": "work", "backend": "knative", "jobTtl": 2592000},
        env={"JOB_LISTING_LIMIT": 30, "OSCAR_NAME": "mine"},
    )
    assert found["OIDC_ISSUERS"] == "https://a,https://b"
    assert (found["OIDC_ENABLE"], found["OIDC_GROUPS"]) == ("true", "vo.example")
    assert found["BRIDGE_OIDC_AUDIENCE"] == ""
    assert found["OSCAR_SERVICES_NAMESPACE"] == "work"
    assert found["SERVERLESS_BACKEND"] == "knative"
    assert found["TTL_JOB"] == "2592000"
    # Of a value and a setting, the setting counts.
    assert (found["JOB_LISTING_LIMIT"], found["OSCAR_NAME"]) == ("30", "mine")


def test_ingress_and_policy_lead_to_the_manager() -> None:
    made = rendered(
        ingress={"enabled": True, "className": "nginx", "host": "o.test", "tlsSecret": "tls"},
        networkPolicy={"enabled": True, "from": [{"name": "ingress"}]},
        service={"type": "NodePort", "nodePort": 30080},
    )
    ingress = made["Ingress", "oscar-bridge"]["spec"]
    assert ingress["tls"] == [{"secretName": "tls", "hosts": ["o.test"]}]
    [path] = ingress["rules"][0]["http"]["paths"]
    service = made[("Service", path["backend"]["service"]["name"])]["spec"]
    pods = deployment()["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= pods.items()
    assert service["ports"][0]["nodePort"] == 30080
    policy = made["NetworkPolicy", "oscar-bridge"]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= pods.items()
    assert policy["ingress"][0]["from"][0]["namespaceSelector"]["matchLabels"] == {
        "name": "ingress"
    }


def test_the_rights_are_those_of_the_plain_manifest() -> None:
    plain = list(yaml.safe_load_all((ROOT / "deploy/kubernetes/rbac.yaml").read_text()))
    text = render(LEAST, name="oscar-bridge", namespace="oscar")["oscar-bridge/templates/rbac.yaml"]
    named = text.replace("oscar-oscar-bridge-capacity", "oscar-bridge-capacity")
    assert list(yaml.safe_load_all(named)) == plain


def test_the_rights_follow_the_names_of_a_release() -> None:
    values = {**LEAST, "services": {"namespace": "work"}, "serviceAccount": {"name": "me"}}
    found = objects(render(values, name="mine", namespace="there"))
    roles = {(one["kind"], one["metadata"]["name"]): one for one in found if "Role" in one["kind"]}
    bindings = [one for place, one in roles.items() if place[0].endswith("Binding")]
    assert bindings
    for one in bindings:
        assert (one["roleRef"]["kind"], one["roleRef"]["name"]) in roles
        assert one["subjects"] == [{"kind": "ServiceAccount", "name": "me", "namespace": "there"}]
    assert {one["metadata"].get("namespace") for one in roles.values()} == {"work", None}
    assert all("mine-oscar-bridge" in name for _, name in roles)
    everywhere = {name for kind, name in roles if kind.startswith("Cluster")}
    assert everywhere == {"there-mine-oscar-bridge-capacity"}


def test_the_plain_manifests_are_the_chart_rendered() -> None:
    values = yaml.safe_load(VALUES.read_text())
    made = render(values, name="oscar-bridge", namespace="oscar")
    assert list(yaml.safe_load_all(FILE.read_text())) == objects(made, plain=True), (
        "run python deploy/kubernetes/render.py"
    )


def test_a_packaged_chart_is_whole(tmp_path: Path) -> None:
    with helm.Chart.load(helm.package(CHART, destination=tmp_path)) as chart:
        made = chart.render(LEAST, name="oscar-bridge", namespace="oscar")
    assert objects(made) == list(rendered().values())
