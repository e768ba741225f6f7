from __future__ import annotations

from decimal import Decimal

import pytest

from bridge.fdl import OscarOptions, ProviderRef, Service, parse
from bridge.fdl.options import Expose, Federation, Kserve, KserveInference, Replica, Volume
from bridge.secret import Secret
from tests.fdl.texts import SHAPES, load_text, only, oscar, problem, problems


def options(service: Service) -> OscarOptions:
    assert isinstance(service.options, OscarOptions)
    return service.options


def test_the_defaults_are_upstreams() -> None:
    service = only(oscar())
    assert (service.name, service.image, service.script) == ("svc", "busybox", "run.sh")
    assert (service.origin, service.pin, service.execution_mode) == ("oscar", "lab", None)
    assert service.resources.cpu == Decimal("0.2")
    assert service.resources.memory == 256 * 2**20
    assert (service.resources.gpu, service.resources.ephemeral_storage) == (0, None)
    assert (service.log_level, service.timeout, service.arch) == ("INFO", None, "amd64")
    assert options(service) == OscarOptions(cluster_id="lab")


@pytest.mark.parametrize("cpu", ["1.0", "'1.0'", "1", "1000m"])
def test_cpu_in_every_spelling(cpu: str) -> None:
    assert only(oscar(f"cpu: {cpu}")).resources.cpu == 1


@pytest.mark.parametrize("key", ["variables", "Variables", "VARIABLES"])
def test_variables_in_every_case_and_as_written(key: str) -> None:
    more = f"Environment:\n  {key}: {{A: 010, B: yes, C: 1.50, D: ~, E: 12:30, F: '  x '}}"
    assert only(oscar(more)).variables == {
        "A": "010",
        "B": "yes",
        "C": "1.50",
        "D": "",
        "E": "12:30",
        "F": "  x ",
    }


def test_secrets_are_hidden() -> None:
    service = only(oscar("environment: {secrets: {TOKEN: TOP-SECRET}}"))
    assert service.secrets == {"TOKEN": Secret("TOP-SECRET")}
    assert "TOP-SECRET" not in repr(service)


@pytest.mark.parametrize(("written", "read"), [("debug", "DEBUG"), ("Warn", "WARNING")])
def test_log_levels_in_any_case(written: str, read: str) -> None:
    assert only(oscar(f"log_level: {written}")).log_level == read


def test_paths_of_object_stores_get_the_services_folder() -> None:
    service = only(
        oscar(
            """
            input:
            - {storage_provider: MINIO, path: ' /in/ '}
            - {storage_provider: minio.default, path: bucket/a/b/}
            - {storage_provider: webdav.w, path: only}
            output:
            - {storage_provider: s3, path: out, suffix: [.txt, .csv], prefix: res}
            """,
            "storage_providers: {webdav: {w: {hostname: h}}}",
        )
    )
    assert [p.path for p in service.inputs] == ["svc/in", "bucket/a/b", "only"]
    first, out = service.inputs[0], service.outputs[0]
    assert (first.bucket, first.folder, first.provider) == ("svc", "in", ProviderRef("minio"))
    assert (out.path, out.suffix, out.prefix) == ("svc/out", (".txt", ".csv"), ("res",))
    assert out.place is not None
    assert out.place.path == "functions.oscar[0].lab.output[0]"


def test_a_mounted_bucket_keeps_its_name() -> None:
    mount = options(only(oscar("mount: {storage_provider: minio, path: /notebook}"))).mount
    assert mount is not None
    assert mount.path == "notebook"


def test_resources() -> None:
    service = only(
        oscar(
            """
            enable_gpu: true
            memory: 1.5Gi
            ephemeral-storage: 2Gi
            total_cpu: 4
            total_memory: 8Gi
            """
        )
    )
    assert service.resources.gpu == 1
    assert service.resources.memory == 1536 * 2**20
    assert service.resources.ephemeral_storage == 2 * 2**30
    assert (options(service).total_cpu, options(service).total_memory) == (4, 8 * 2**30)


def test_oscar_v3_replicas_become_a_federation() -> None:
    document = load_text(SHAPES / "two-clusters-replicas.yaml")
    assert options(document.service("fire-edge")).federation == Federation(
        delegation="load-based",
        rescheduler_threshold=20,
        members=(
            Replica(cluster_id="cluster-main", service_name="fire-main"),
            Replica(
                type="endpoint",
                url="https://example.org/run",
                priority=2,
                headers={"Authorization": Secret("Bearer abc")},
            ),
        ),
    )
    assert [s.pin for s in document.services] == ["cluster-edge", "cluster-main"]


def test_the_federation_block_wins_over_the_old_keys() -> None:
    service = only(
        oscar(
            """
            delegation: random
            rescheduler_threshold: 5
            federation: {topology: star, delegation: topsis}
            """
        )
    )
    assert options(service).federation == Federation(
        topology="star", delegation="topsis", rescheduler_threshold=5
    )


def test_expose_takes_one_port_several_or_none() -> None:
    def ports(text: str) -> Expose | None:
        return options(only(oscar(f"expose: {{api_port: {text}}}"))).expose

    assert ports("80") == Expose(api_port=(80,))
    assert ports("'80'") == Expose(api_port=(80,))
    assert ports("[80, 81]") == Expose(api_port=(80, 81))
    assert ports("0") == ports("null") == Expose()


def test_a_service_that_runs_the_images_own_command_needs_no_script() -> None:
    document = load_text(SHAPES / "exposed.yaml")
    server = document.service("server")
    assert server.script == ""
    assert options(server).volume == Volume(mount_path="/data", size=2**30)


def test_kserve() -> None:
    document = load_text(SHAPES / "kserve.yaml")
    assert options(document.service("iris")).kserve == Kserve(
        type="inference",
        storage_uri="gs://models/iris",
        inference=KserveInference(model_format="sklearn"),
        api_version="v2",
        min_scale=1,
    )
    model = options(document.service("language-model")).kserve
    assert model is not None
    assert (model.cpu, model.memory, model.args) == (2, 6 * 2**30, ("--dtype=auto",))


def test_odds_and_ends() -> None:
    service = load_text(SHAPES / "odds-and-ends.yaml").service("thermal")
    found = options(service)
    assert (found.vo, found.interlink_node_name) == (("vo.example.eu",), "vk-node")
    assert (found.visibility, found.isolation_level) == ("restricted", "USER")
    assert (found.image_pull_secrets, found.image_prefetch) == (("registry",), True)
    assert (found.synchronous.min_scale, found.synchronous.max_scale) == (1, 5)
    assert (service.file_stage_in, service.resources.gpu) == (False, 1)


def test_a_scalar_stands_for_a_list_of_one() -> None:
    assert options(only(oscar("vo: my-vo\nallowed_users: one"))).vo == ("my-vo",)


def test_clusters_come_from_their_block_or_from_the_service() -> None:
    document = parse(
        oscar(
            "endpoint: https://a\nauth_user: u\nauth_password: TOP-SECRET\nssl_verify: false",
            "clusters: {other: {endpoint: https://b}}",
        )
    )
    lab, other = document.clusters["lab"], document.clusters["other"]
    assert (lab.endpoint, lab.auth_user, lab.ssl_verify) == ("https://a", "u", False)
    assert lab.auth_password == Secret("TOP-SECRET")
    assert (other.endpoint, other.ssl_verify, other.auth_password) == ("https://b", True, None)


def test_null_means_not_given() -> None:
    assert only(oscar("cpu: null\nmemory:\ninput: ~\nenvironment:\nexpose:")) == only(oscar())
    document = load_text(SHAPES / "null-credentials.yaml")
    provider = document.providers[ProviderRef("minio", "oscar-us")]
    assert (provider.settings, provider.secrets) == ({"verify": True}, {})
    assert document.clusters["oscar-us"].auth_password is None


def test_a_clusters_own_minio_need_not_be_defined() -> None:
    more = "output: [{storage_provider: minio.lab, path: a-bucket/x}]"
    assert only(oscar(more)).outputs[0].provider == ProviderRef("minio", "lab")


@pytest.mark.parametrize("name", ["token", "owner", "namespace", "bucket_list"])
def test_what_the_cluster_sets_is_not_written(name: str) -> None:
    assert "leave it out" in problem(oscar(f"{name}: x")).hint


def test_volumes_are_checked() -> None:
    found = problems(oscar("volume: {mount_path: data}"))
    assert [p.path.rpartition(".")[2] for p in found] == ["volume", "mount_path"]
    found = problems(oscar("volume: {size: 1Gi, mount_path: /oscar/bin/x}"))
    assert "belongs to the platform" in found[0].message


def test_an_image_is_one_word() -> None:
    assert "not an image" in problem(oscar().replace("busybox", "'busy box'")).message
