"""OSCAR's own Python client, unchanged, from a file to the end of its service."""

from __future__ import annotations

import base64
import json
import re
import secrets
import urllib.request
from pathlib import Path

import pytest
import requests
from oscar_python.client import Client

from tests.command import ROOT
from tests.local.conftest import eventually

from .conftest import PASSWORD, USER, Live

FDL = """
functions:
  oscar:
  - my-oscar:
      name: {name}
      image: busybox
      cpu: 0.5
      memory: 64Mi
      log_level: CRITICAL
      script: shout.sh
      input:
      - storage_provider: minio
        path: {name}/in
      output:
      - storage_provider: minio.default
        path: {name}/out
      environment:
        Variables:
          WORD: hello
"""
SHOUT = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"\n'


@pytest.fixture
def client(live: Live) -> Client:
    options = {"cluster_id": "my-oscar", "endpoint": live.url, "user": USER, "password": PASSWORD}
    return Client({**options, "ssl": False})


def test_a_service_from_its_file_to_its_end(client: Client, tmp_path: Path) -> None:
    name = f"shout-{secrets.token_hex(3)}"
    (tmp_path / "shout.sh").write_text(SHOUT)
    (tmp_path / "fdl.yaml").write_text(FDL.format(name=name))
    assert client.get_cluster_info().json()["version"]
    assert client.create_service(str(tmp_path / "fdl.yaml")).status_code == 201
    with pytest.raises(ValueError, match="already present"):
        client.create_service(str(tmp_path / "fdl.yaml"))
    assert name in [one["name"] for one in client.list_services().json()]

    answer = client.run_service(name, input="some text", output=str(tmp_path / "reply"))
    assert base64.b64decode(answer.text) == b"SOME TEXT"
    assert (tmp_path / "reply").read_text() == "SOME TEXT"
    assert client.run_service(name, input="later", async_call=True).status_code == 201
    assert eventually(lambda: _finished(client, name) == 1)
    assert client.remove_all_jobs(name).status_code == 204

    storage = client.create_storage_client(name)
    (tmp_path / "one.txt").write_text("quiet")
    storage.upload_file("minio.default", str(tmp_path / "one.txt"), f"{name}/in")
    assert eventually(lambda: _finished(client, name) == 1)
    (tmp_path / "got").mkdir()
    assert "out/one.txt" in str(storage.list_files_from_path("minio.default", f"{name}/out/"))
    storage.download_file("minio.default", str(tmp_path / "got"), f"{name}/out/one.txt")
    assert (tmp_path / "got" / "one.txt").read_text() == "QUIET"

    (job,) = client.list_jobs(name).json()["jobs"]
    assert client.get_job_logs(name, job).status_code == 200
    assert client.remove_job(name, job).status_code == 204
    assert client.remove_all_jobs(name).status_code == 204

    service = client.get_service(name).json()
    token = service["token"]
    assert client.update_service(name, {**service, "memory": "128Mi"}).status_code == 204
    changed = client.get_service(name).json()
    assert (changed["memory"], changed["token"]) == ("128Mi", token)
    assert changed["environment"]["variables"] == {"WORD": "hello"}
    assert client.get_deployment_status(name).json()["state"] == "ready"

    assert client.remove_service(name).status_code == 204
    with pytest.raises(requests.HTTPError, match="404"):
        client.get_service(name)


def test_the_pages_example_works(
    live: Live, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OSCAR_ENDPOINT", live.url)
    monkeypatch.setenv("OSCAR_USERNAME", USER)
    monkeypatch.setenv("OSCAR_PASSWORD", PASSWORD)
    page = (ROOT / "docs" / "manager.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    exec(compile(block, "docs/manager.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "HELLO"
    assert "jobs" in said[-1]


def test_figures_and_members(client: Client) -> None:
    name = f"s{secrets.token_hex(4)}"
    service = {"name": name, "image": "busybox", "script": "true"}
    assert client.create_service(service).status_code == 201
    client.run_service(name, input="now")
    assert client.get_metrics_summary().json()["totals"]["requests_count_sync"] >= 1
    items = client.get_metrics_breakdown().json()["items"]
    assert name in [one["key"] for one in items]
    assert len(client.get_service_metrics(name).json()["metrics"]) == 6

    member = {"type": "oscar", "cluster_id": "far", "service_name": name, "priority": 0}
    assert client.get_federation(name).json() == {"topology": "none", "members": None}
    clusters = {"far": {"endpoint": "https://far.example"}}
    added = client.add_federation_members(name, [member], clusters).json()
    assert added["members"][0]["priority"] == 0
    update = [{**member, "priority": 5}]
    changed = client.update_federation_members(name, [member], update).json()
    assert changed["members"][0]["priority"] == 5
    assert client.remove_federation_members(name, [member]).json()["members"] is None

    with pytest.raises(requests.HTTPError, match="404"):
        client.list_volumes()
    assert client.get_deployment_logs(name).json()["available"] is False
    assert client.remove_service(name).status_code == 204


def _finished(client: Client, name: str) -> int:
    found = json.loads(client.list_jobs(name).text)["jobs"].values()
    return sum(one["status"] == "Succeeded" for one in found)


def test_its_buckets(client: Client) -> None:
    name = f"b-{secrets.token_hex(4)}"
    assert client.health_check().text == "Ok"
    assert client.get_cluster_status().json()["oscar"]["ready"]
    assert client.create_bucket(name, "restricted", ["ann"]).status_code == 201
    assert client.update_bucket(name, "public").status_code == 204
    assert client.get_bucket(name).json()["visibility"] == "public"
    up = client.presign_bucket(name, "k", "upload").json()
    request = urllib.request.Request(up["url"], b"x", method=up["method"])
    assert urllib.request.urlopen(request).status == 200
    assert client.get_bucket(name).json()["objects"][0]["object_name"] == "k"
    assert name in [one["bucket_name"] for one in client.list_buckets().json()]
    assert client.delete_bucket(name).status_code == 204
    assert client.get_system_logs(timestamps=True).status_code == 200
