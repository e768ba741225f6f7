"""The objects of services that answer HTTP, as values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import PermanentError
from bridge.fdl.model import ProviderRef, Resources, Service
from bridge.fdl.options import Expose, OscarOptions, Synchronous
from bridge.secret import Secret
from bridge.targets.kubernetes import ClusterSettings, Routing
from bridge.targets.kubernetes._apr1 import apr1
from bridge.targets.kubernetes._copies import (
    copies,
    knative_status,
    start_patch,
    status_of,
    stop_patch,
)
from bridge.targets.kubernetes._exposed import exposed_manifests
from bridge.targets.kubernetes._sync import deployment_manifests, knative_manifest, notes
from bridge.targets.render import ProviderAccess

GIVEN: dict[str, Any] = {"namespace": "ns", "configured": "c1"}
RUNTIME: dict[str, Any] = {"runtime_image": "runtime:1", **GIVEN}
SETTINGS = ClusterSettings()


def service(**options: Any) -> Service:
    return Service(
        name="svc",
        origin="bridge",
        image="image:1",
        resources=Resources(Decimal("0.5"), 2**28),
        script_text="true\n",
        variables={"A": "b"},
        secrets={"S": Secret("s3cret")},
        timeout=60.0,
        options=OscarOptions(**options),
    )


def by_kind(manifests: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {one["kind"]: one for one in manifests}
    assert len(found) == len(manifests)
    for one in manifests:
        assert one["metadata"]["namespace"] == "ns"
        assert one["metadata"]["labels"]["oscar_service"] == "svc"
        assert one["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "oscar-bridge"
        json.dumps(one)
    return found


def container(manifest: dict[str, Any]) -> dict[str, Any]:
    (found,) = manifest["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_without_knative_a_deployment_answers() -> None:
    found = by_kind(deployment_manifests(service(), SETTINGS, {}, **RUNTIME))
    deployment, front = found["Deployment"], found["Service"]
    assert "replicas" not in deployment["spec"]
    template = deployment["spec"]["template"]
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= template["metadata"]["labels"].items()
    assert front["spec"]["selector"] == selector
    assert "oscar-bridge/job" not in template["metadata"]["labels"]
    main = container(deployment)
    assert main["command"] == ["/opt/bridge/bin/bridge-http"]
    assert {"name": "BRIDGE_TIMEOUT", "value": "60"} in main["env"]
    assert main["readinessProbe"]["httpGet"]["path"] == "/_/ready"
    assert main["envFrom"] == [{"secretRef": {"name": "svc"}}]
    assert template["spec"]["terminationGracePeriodSeconds"] == 90
    assert template["spec"]["initContainers"][0]["image"] == "runtime:1"
    assert "s3cret" not in json.dumps(found)
    scaler = found["HorizontalPodAutoscaler"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 100)


def test_as_many_copies_as_the_file_says() -> None:
    some = service(synchronous=Synchronous(min_scale=2, max_scale=5))
    scaler = by_kind(deployment_manifests(some, SETTINGS, {}, **RUNTIME))["HorizontalPodAutoscaler"]
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 5)
    fixed = service(synchronous=Synchronous(min_scale=2, max_scale=2))
    assert "HorizontalPodAutoscaler" not in by_kind(
        deployment_manifests(fixed, SETTINGS, {}, **RUNTIME)
    )


def test_what_knative_gets_is_what_it_takes() -> None:
    some = service(synchronous=Synchronous(min_scale=1, max_scale=4), annotations={"a": "b"})
    made = knative_manifest(some, SETTINGS, {}, **RUNTIME)
    assert by_kind([made])["Service"]["apiVersion"] == "serving.knative.dev/v1"
    assert made["metadata"]["labels"]["networking.knative.dev/visibility"] == "cluster-local"
    template = made["spec"]["template"]
    assert template["metadata"]["annotations"] == {
        "a": "b",
        "autoscaling.knative.dev/min-scale": "1",
        "autoscaling.knative.dev/max-scale": "4",
        "oscar-bridge/configured": "c1",
    }
    pod = template["spec"]
    assert (pod["containerConcurrency"], pod["timeoutSeconds"]) == (1, 60)
    assert not {"restartPolicy", "terminationGracePeriodSeconds"} & pod.keys()
    main = container(made)
    assert main["ports"] == [{"containerPort": 8080, "protocol": "TCP"}]
    assert all("value" in one for one in main["env"])


def test_a_plan_says_what_is_otherwise() -> None:
    (first,) = notes(service(), knative=False)
    assert "no Knative" in first
    assert "no copy until the first call" in first
    assert notes(service(), knative=True) == []
    assert "600 s" in notes(replace(service(), timeout=3600.0), knative=True)[0]
    assert notes(service(expose=Expose(api_port=(80,))), knative=False) == []
    assert notes(service(interlink_node_name="far"), knative=False) == []


EXPOSE = Expose(api_port=(5000, 6000), health_path="health", max_scale=3, cpu_threshold=50)


def exposed(expose: Expose, routing: Routing | None = None) -> dict[str, dict[str, Any]]:
    return by_kind(
        exposed_manifests(
            service(expose=expose),
            SETTINGS,
            {},
            routing=routing or Routing(),
            token=Secret("0123456789abcdef"),
            **GIVEN,
        )
    )


def test_an_exposed_service_has_upstreams_objects() -> None:
    found = exposed(EXPOSE)
    names = {kind: one["metadata"]["name"] for kind, one in found.items()}
    assert names == {
        "Deployment": "svc-dpl",
        "Service": "svc-svc",
        "HorizontalPodAutoscaler": "svc-hpa",
        "Ingress": "svc-ing",
    }
    deployment = found["Deployment"]
    assert deployment["spec"]["selector"] == {"matchLabels": {"app": "oscar-svc-exp-svc"}}
    pod = deployment["spec"]["template"]["spec"]
    assert "initContainers" not in pod
    assert not any(volume["name"] == "bridge-runtime" for volume in pod["volumes"])
    main = container(deployment)
    assert main["command"] == ["/bin/sh", "-c", "/oscar/config/script.sh"]
    assert [port["containerPort"] for port in main["ports"]] == [5000, 6000]
    assert main["readinessProbe"]["httpGet"] == {"path": "/health", "port": 5000}
    base = {"name": "OSCAR_SERVICE_BASE_PATH", "value": "/system/services/svc/exposed"}
    assert base in main["env"]
    assert found["Service"]["spec"]["ports"] == [
        {"name": "port-0", "port": 80, "targetPort": 5000, "protocol": "TCP"},
        {"name": "port-1", "port": 81, "targetPort": 6000, "protocol": "TCP"},
    ]
    scaler = found["HorizontalPodAutoscaler"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 3)
    assert scaler["targetCPUUtilizationPercentage"] == 50


def test_labels_of_a_service_do_not_put_its_pods_among_anothers() -> None:
    labels = {"app": "oscar-svc-exp-other", "oscar-bridge/job": "other-1", "team": "blue"}
    one = service(labels=labels)
    for made in (
        *deployment_manifests(one, SETTINGS, {}, **RUNTIME),
        knative_manifest(one, SETTINGS, {}, **RUNTIME),
    ):
        template = made["spec"].get("template", made)
        for facts in (made["metadata"], template["metadata"]):
            assert "app" not in facts["labels"]
            assert "oscar-bridge/job" not in facts["labels"]
            assert facts["labels"]["team"] == "blue"


def test_the_image_may_have_its_own_command() -> None:
    assert "command" not in container(exposed(replace(EXPOSE, default_command=True))["Deployment"])


@pytest.mark.parametrize(
    ("rewrite", "mode", "probed", "target"),
    [
        (False, "", "/health", "/$1"),
        (True, "", "/system/services/svc/exposed/health", "/system/services/svc/exposed/$1"),
        (True, "direct", "/health", "/system/services/svc/exposed/$1"),
    ],
)
def test_paths(rewrite: bool, mode: str, probed: str, target: str) -> None:
    found = exposed(replace(EXPOSE, rewrite_target=rewrite, probe_mode=mode))
    assert container(found["Deployment"])["livenessProbe"]["httpGet"]["path"] == probed
    ingress = found["Ingress"]
    annotations = ingress["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/rewrite-target"] == target
    assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == "0"
    (rule,) = ingress["spec"]["rules"]
    assert rule["http"]["paths"][0]["path"] == "/system/services/svc/exposed/?(.*)"


def test_an_ingress_asks_who_comes_in() -> None:
    found = exposed(replace(EXPOSE, set_auth=True), Routing(host="oscar.example"))
    assert found["Ingress"]["spec"]["rules"][0]["host"] == "oscar.example"
    annotations = found["Ingress"]["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/auth-secret"] == "svc-auth-expose"
    assert found["Secret"]["metadata"]["name"] == "svc-auth-expose"
    assert "0123456789abcdef" not in json.dumps(found)
    found = exposed(replace(EXPOSE, set_auth=True, auth_type="forward"))
    assert "Secret" not in found
    url = found["Ingress"]["metadata"]["annotations"]["nginx.ingress.kubernetes.io/auth-url"]
    assert url == "http://oscar.oscar:8080/system/services/svc/auth"


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("basic", {"basicAuth": {"secret": "svc-auth-expose"}}),
        (
            "forward",
            {"forwardAuth": {"address": "http://oscar.oscar:8080/system/services/svc/auth"}},
        ),
    ],
)
def test_a_route_of_the_gateway_api(kind: str, spec: dict[str, Any]) -> None:
    expose = replace(EXPOSE, set_auth=True, auth_type=kind)
    found = exposed(expose, Routing(host="oscar.example", gateway="infra/main"))
    assert "Ingress" not in found
    assert found["Middleware"]["spec"] == spec
    route = found["HTTPRoute"]
    assert route["metadata"]["name"] == "svc-route"
    assert route["spec"]["parentRefs"] == [{"name": "main", "namespace": "infra"}]
    assert route["spec"]["hostnames"] == ["oscar.example"]
    (rule,) = route["spec"]["rules"]
    assert [one["type"] for one in rule["filters"]] == ["ExtensionRef", "URLRewrite"]
    assert rule["backendRefs"] == [{"name": "svc-svc", "port": 80}]


def test_node_ports_take_the_place_of_a_route() -> None:
    found = exposed(replace(EXPOSE, node_port=(30500, 30600)))
    assert found.keys() == {"Deployment", "Service", "HorizontalPodAutoscaler"}
    assert found["Service"]["spec"]["type"] == "NodePort"
    assert [port["nodePort"] for port in found["Service"]["spec"]["ports"]] == [30500, 30600]


def test_what_no_cluster_can_have() -> None:
    with pytest.raises(PermanentError, match="nodePort has 1 ports"):
        exposed(replace(EXPOSE, node_port=(30500,)))
    with pytest.raises(PermanentError, match="auth_type"):
        exposed(replace(EXPOSE, set_auth=True, auth_type="magic"))
    nginx = "nginx.ingress.kubernetes.io"
    for refused, options in (
        ("token", {"expose": replace(EXPOSE, set_auth=True)}),
        # It could read all that the controller may: the Secrets of the cluster.
        ("server-snippet", {"expose": EXPOSE, "annotations": {f"{nginx}/server-snippet": "x"}}),
    ):
        with pytest.raises(PermanentError, match=refused):
            exposed_manifests(
                service(**options), SETTINGS, {}, routing=Routing(), token=None, **GIVEN
            )


def test_credentials_are_mounted_and_not_written_down() -> None:
    access = {ProviderRef("minio"): ProviderAccess({}, {"access_key": Secret("k3y")})}
    assert "k3y" not in json.dumps(deployment_manifests(service(), SETTINGS, access, **RUNTIME))


@pytest.mark.parametrize(
    ("password", "made"),
    [
        ("a", "0k2xcvade/h3Klo4QJveF1"),
        ("secret", "KISB.4aBzP4pecxr2tTpg1"),
        ("q" * 40, "4Az3hguPWa3.dcJE0XihI1"),
    ],
)
def test_apr1_is_what_openssl_makes(password: str, made: str) -> None:
    assert apr1(password, "abcd1234") == f"$apr1$abcd1234${made}"


def deployment(replicas: int, ready: int = 0, **annotations: str) -> dict[str, Any]:
    return {
        "metadata": {"annotations": {f"oscar.grycap.io/{k}": v for k, v in annotations.items()}},
        "spec": {"replicas": replicas},
        "status": {
            "readyReplicas": ready,
            "conditions": [
                {"type": "Available", "lastTransitionTime": "2026-11-22T10:00:00Z"},
                {"type": "Progressing", "lastTransitionTime": "2026-11-22T10:00:05Z"},
            ],
        },
    }


def crashing(message: str) -> dict[str, Any]:
    ended = {"exitCode": 3, "message": message}
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    status = {"name": "oscar-container", "state": state, "lastState": {"terminated": ended}}
    return {"metadata": {}, "status": {"phase": "Running", "containerStatuses": [status]}}


@pytest.mark.parametrize(
    ("found", "pods", "state", "reason"),
    [
        (deployment(2, 2), [], "ready", ""),
        (deployment(2, 1), [], "degraded", ""),
        (deployment(2, 0), [], "pending", ""),
        (deployment(0, 0), [], "ready", "no copy until the first call"),
        (deployment(0, 0, stopped="true"), [], "stopped", ""),
        (deployment(1, 0), [crashing("no such file")], "failed", "status 3: no such file"),
        (deployment(2, 1), [crashing("no such file")], "degraded", "status 3: no such file"),
    ],
)
def test_how_copies_are(
    found: dict[str, Any], pods: list[dict[str, Any]], state: str, reason: str
) -> None:
    status = status_of("svc", "ns", found, pods, "exposed_service")
    assert status.state == state
    assert reason in status.reason
    assert status.last_transition_time == "2026-11-22T10:00:05Z"
    assert status.active_instances + status.affected_instances == found["spec"]["replicas"]


def test_how_knative_says_it() -> None:
    def status(word: str) -> str:
        condition = {"type": "Ready", "status": word, "message": "why"}
        found = {"status": {"conditions": [condition]}}
        return knative_status("svc", "ns", found, []).state

    assert [status(word) for word in ("True", "False", "Unknown")] == ["ready", "failed", "pending"]


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_new_deployment_keeps_the_copies_within_bounds(live: int, least: int, more: int) -> None:
    number = copies(deployment(live), least, least + more)
    assert least <= number <= least + more
    assert number == live or live < least or live > least + more
    assert copies(None, least, least + more) == least
    assert copies(deployment(live, stopped="true"), least, least + more) == 0


def test_a_stopped_service_comes_back_with_what_it_had() -> None:
    patch = stop_patch(deployment(3))
    assert patch["spec"] == {"replicas": 0}
    noted = patch["metadata"]["annotations"]
    stopped = {"metadata": {"annotations": noted}, "spec": patch["spec"]}
    back = start_patch(stopped, 1)
    assert back["spec"] == {"replicas": 3}
    assert back["metadata"]["annotations"] == dict.fromkeys(noted)
