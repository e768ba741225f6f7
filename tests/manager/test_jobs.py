"""Calls, jobs, their logs, events and buckets, on a manager whose jobs really run."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import socket
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import NotFoundError, TargetUnavailable
from bridge.targets import JobState
from manager.intake import Intake
from tests.waiting import eventually

from .conftest import Live, basic, echo

SHOUT = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"\n'


def token(live: Live, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {live.token_of(name)}"}


def jobs_of(live: Live, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    page = ""
    while True:
        answer = live.ask("GET", f"/system/logs/{name}?page={page}").json
        found |= answer["jobs"]
        page = answer.get("next_page", "")
        if not page:
            return found


def finished(live: Live, name: str, count: int = 1) -> dict[str, Any]:
    def over() -> bool:
        found = jobs_of(live, name).values()
        return len(found) == count and all("finish_time" in one for one in found)

    assert eventually(over), jobs_of(live, name)
    return jobs_of(live, name)


def test_a_call_is_answered_with_what_the_script_says(live: Live) -> None:
    name = live.create(
        environment={"variables": {"WHO": "you"}}, script='cat "$INPUT_FILE_PATH"; echo " $WHO"'
    )
    body = base64.b64encode(b"hello")
    for header in (token(live, name), basic()):
        answer = live.ask("POST", f"/run/{name}?a=b", body, header)
        assert (answer.status, answer.body) == (200, b"hello you\n"), answer
    assert live.ask("POST", f"/run/{name}", None, basic()).status == 200
    # Calls are no jobs.
    assert live.ask("GET", f"/system/logs/{name}").text == '{"jobs":{}}'
    assert live.ask("POST", f"/run/{name}", body, {}).status == 401


@pytest.mark.parametrize("as_job", [False, True])
def test_a_caller_that_leaves_ends_the_script(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, as_job: bool
) -> None:
    def invoke(name: str, *_: object, **__: object) -> None:
        raise NotFoundError(name)

    if as_job:
        monkeypatch.setattr(live.manager.parts.targets["local"], "invoke", invoke)
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    script = f"trap 'touch {ended}; exit' TERM; touch {begun}; sleep 300 & wait"
    name = live.create(script=script)
    lines = [f"POST /run/{name} HTTP/1.1", "Host: x", "Content-Length: 0"]
    lines += [f"{key}: {value}" for key, value in basic().items()]
    with socket.create_connection(("127.0.0.1", live.port)) as caller:
        caller.sendall("\r\n".join([*lines, "", ""]).encode())
        assert eventually(begun.exists)
    assert eventually(ended.exists)
    assert not any(job.state.final is False for job in live.manager.parts.jobs.jobs(service=name))


def test_one_file_comes_in_base64_and_a_failure_as_500(live: Live) -> None:
    name = live.create(script=SHOUT)
    answer = live.ask("POST", f"/run/{name}", base64.b64encode(b"hello"))
    assert base64.b64decode(answer.body) == b"HELLO"
    broken = live.create(script="echo no luck >&2; exit 3")
    answer = live.ask("POST", f"/run/{broken}", b"x")
    assert answer.status == 500
    assert "no luck" in answer.text


def test_a_job_runs_and_its_log_is_read(live: Live) -> None:
    name = live.create()
    answer = live.ask("POST", f"/job/{name}", b"some text!", token(live, name))
    assert (answer.status, answer.body) == (201, b"")
    (job, entry) = next(iter(finished(live, name).items()))
    assert list(entry) == ["status", "creation_time", "start_time", "finish_time"]
    assert entry["status"] == "Succeeded"
    assert entry["creation_time"].endswith("Z")
    log = live.ask("GET", f"/system/logs/{name}/{job}")
    assert log.headers["content-type"] == "text/plain; charset=utf-8"
    assert "got some text!" in log.text.splitlines()
    stamped = live.ask("GET", f"/system/logs/{name}/{job}?timestamps=true").text.splitlines()
    assert all(line.split(" ")[0].endswith("Z") for line in stamped)
    other = live.create()
    assert live.ask("GET", f"/system/logs/{other}/{job}").status == 404
    assert live.ask("DELETE", f"/system/logs/{other}/{job}").status == 404
    assert live.ask("DELETE", f"/system/logs/{name}/{job}").status == 204
    assert live.ask("GET", f"/system/logs/{name}/{job}").status == 404


def test_a_large_log_is_sent_as_it_is_read(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    name = live.create()
    assert live.ask("POST", f"/job/{name}", b"x").status == 201
    (job,) = finished(live, name)
    target = live.manager.parts.targets["local"]
    lines = [str(number) * 1000 for number in range(500)]
    monkeypatch.setattr(target, "logs", lambda _: iter(lines))
    answer = live.ask("GET", f"/system/logs/{name}/{job}")
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.splitlines() == lines

    def broken(_: str) -> Iterator[str]:
        raise TargetUnavailable("the cluster is away")
        yield ""

    monkeypatch.setattr(target, "logs", broken)
    assert live.ask("GET", f"/system/logs/{name}/{job}").status == 503


def test_jobs_come_in_pages_and_are_put_away(live: Live) -> None:
    name = live.create(script='grep -q good "$INPUT_FILE_PATH"')
    for body in (b"good 1.", b"bad 2..", b"good 3.", b"good 4."):
        assert live.ask("POST", f"/job/{name}", body).status == 201
    finished(live, name, 4)
    first = live.ask("GET", f"/system/logs/{name}").json
    assert (len(first["jobs"]), first["remaining_jobs"]) == (3, 1)
    assert live.ask("GET", f"/system/logs/{name}?page=nothing").status == 400
    assert live.ask("DELETE", f"/system/logs/{name}?all=maybe").status == 204
    assert [one["status"] for one in jobs_of(live, name).values()] == ["Failed"]
    assert live.ask("DELETE", f"/system/logs/{name}?all=true").status == 204
    assert live.ask("GET", f"/system/logs/{name}").text == '{"jobs":{}}'


def test_all_jobs_are_ended_page_by_page_with_a_commit_each(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, jobs = live.create(script="exec sleep 300"), live.manager.parts.jobs
    for _ in range(20):
        live.manager.dispatcher.submit_raw(name, b"x")
    commits, limits, change, read = [], [], jobs.change, jobs.jobs
    monkeypatch.setattr(jobs, "change", lambda some: commits.append(some) or change(some))
    monkeypatch.setattr(jobs, "jobs", lambda **how: limits.append(how.get("limit")) or read(**how))
    assert live.ask("DELETE", f"/system/logs/{name}?all=true").status == 204
    assert max(limit or 0 for limit in limits) <= 1000
    ends = [some for some in commits if any(one.state is JobState.CANCELLED for one in some)]
    assert len(ends) < 10
    assert {job.state for job in read(service=name)} == {JobState.CANCELLED}
    assert live.ask("GET", f"/system/logs/{name}").text == '{"jobs":{}}'


def test_a_delegated_job_keeps_its_name_and_is_one_job(live: Live) -> None:
    name = live.create()
    event = json.dumps({"event": json.dumps("hello"), "storage_provider": "minio.default"})
    named = {**basic(), "X-Delegated-Job-ID": f"{name}-0123", "X-Delegated-From": "far"}
    for _ in range(2):
        assert live.ask("POST", f"/job/{name}", event.encode(), named).status == 201
    assert list(finished(live, name)) == [f"{name}-0123"]
    bad = {**named, "X-Delegated-Job-ID": "../x"}
    assert live.ask("POST", f"/job/{name}", event.encode(), bad).status == 400


def test_an_upload_starts_a_job_and_its_output_the_next(live: Live, tmp_path: Path) -> None:
    bucket = f"b-{secrets.token_hex(4)}"

    def place(folder: str) -> list[dict[str, str]]:
        return [{"storage_provider": "minio", "path": f"{bucket}/{folder}"}]

    first = live.create(script=SHOUT, input=place("in"), output=place("mid"))
    second = live.create(
        script=SHOUT.replace("a-z A-Z", "A-Z B-ZA"), input=place("mid"), output=place("out")
    )
    (tmp_path / "a b.txt").write_text("hal")
    live.store.upload(bucket, "in/a b.txt", tmp_path / "a b.txt")
    finished(live, first)
    finished(live, second)
    live.store.download(bucket, "out/a b.txt", tmp_path / "got")
    assert (tmp_path / "got").read_text() == "IBM"


def test_an_object_whose_event_was_lost_is_found_and_an_older_one_left(
    live: Live, tmp_path: Path
) -> None:
    bucket = f"b-{secrets.token_hex(4)}"
    source = tmp_path / "x"
    source.write_text("x")
    assert live.ask("POST", "/system/buckets", {"bucket_name": bucket}).status == 201
    live.store.upload(bucket, "in/old", source)
    # Stores say whole seconds.
    second = int(time.time())
    assert eventually(lambda: time.time() > second + 1)
    name = live.create(input=[{"storage_provider": "minio", "path": f"{bucket}/in"}])
    live.store.remove_rules(bucket)
    live.store.upload(bucket, "in/new", source)
    found = live.manager.reconcile()
    records = [live.manager.parts.jobs.job(job) for job in found]
    assert [(r.service, r.event.key) for r in records if r] == [(name, "in/new")]
    assert live.manager.reconcile() == ()


def test_open_jobs_of_a_deleted_service_fail(live: Live) -> None:
    name = live.create(script="sleep 300")
    live.ask("POST", f"/job/{name}", b"x")
    assert eventually(lambda: "start_time" in next(iter(jobs_of(live, name).values()), {}))
    (job,) = jobs_of(live, name)
    assert live.ask("DELETE", f"/system/services/{name}").status == 204
    record = live.manager.parts.jobs.job(job)
    assert record is not None
    assert (record.state, record.reason) == ("failed", f"service {name} was deleted")
    assert live.ask("GET", f"/system/logs/{name}").status == 404


def test_no_more_is_taken_than_there_is_room_for(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = live.create()
    monkeypatch.setattr(live.manager, "settings", replace(live.manager.settings, backlog=0))
    answer = live.ask("POST", f"/job/{name}", b"x")
    assert answer.status == 503
    calls = live.ask("GET", "/system/logs").json["logs"]
    assert " 503 " in str(next(one for one in calls if f"/job/{name}" in str(one)))
    assert int(answer.headers["retry-after"]) >= 1
    event = live.ask("POST", "/events", b"{}", {"Authorization": f"Bearer {live.token}"})
    assert event.status == 503
    assert jobs_of(live, name) == {}


def test_senders_that_are_answered_together_share_the_next_commit_too(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However they come back one after the other; only the very first is alone."""
    commits: list[int] = []
    dispatcher, take = live.manager.dispatcher, live.manager.dispatcher.ingest_all

    def counted(provider: str, bodies: list[bytes]) -> Any:
        commits.append(len(bodies))
        return take(provider, bodies)

    async def sender(intake: Intake, number: int) -> None:
        for _ in range(10):
            for _ in range(number):
                await asyncio.sleep(0)
            await intake.take(b"{}")

    async def all_of_them() -> None:
        intake = Intake(live.manager)
        await asyncio.gather(*[sender(intake, number) for number in range(8)])

    monkeypatch.setattr(dispatcher, "ingest_all", counted)
    monkeypatch.setattr("manager.intake._MOMENT", 0.5)
    asyncio.run(all_of_them())
    assert sum(commits) == 80
    assert len(commits) <= 12


def test_buckets_from_their_making_to_their_end(live: Live, tmp_path: Path) -> None:
    path, name = "/system/buckets", f"b-{secrets.token_hex(4)}"
    wish = {"bucket_name": name, "visibility": "restricted", "allowed_users": [" ann ", ""]}
    assert live.ask("POST", path, wish).status == 201
    assert "already exists" in live.ask("POST", path, wish).text
    listed = live.ask("GET", path).text
    shown = f'{{"bucket_name":"{name}","visibility":"restricted","allowed_users":["ann"],'
    assert shown + '"owner":"cluster_admin","metadata":{}}' in listed
    assert live.ask("PUT", path, {"bucket_name": name, "visibility": "public"}).status == 204
    (tmp_path / "x").write_text("hello")
    for key in ("a", "b", "c/d", "e"):
        live.store.upload(name, key, tmp_path / "x")
    first = live.ask("GET", f"{path}/{name}").json
    assert [one["object_name"] for one in first["objects"]] == ["a", "b", "c/d"]
    assert (first["is_truncated"], first["returned_items"]) == (True, 3)
    assert first["objects"][0]["last_modified"].endswith(" +0000 UTC")
    rest = live.ask("GET", f"{path}/{name}?page={first['next_page']}").json
    assert [one["object_name"] for one in rest["objects"]] == ["e"]
    assert len(live.ask("GET", f"{path}/{name}?limit=1").json["objects"]) == 1
    assert live.ask("DELETE", f"{path}/{name}").status == 204
    assert live.ask("GET", f"{path}/{name}").status == 404
    assert not live.store.has_bucket(name)


@pytest.mark.parametrize(
    "wish",
    [{}, {"bucket_name": "Not OK"}, {"bucket_name": "../x"}, {"bucket_name": 5},
     {"bucket_name": "fine-name", "visibility": "loud"}, {"bucket_name": "fine-name/../x"}],
)  # fmt: skip
def test_a_wrong_bucket_is_400(live: Live, wish: Any) -> None:
    assert live.ask("POST", "/system/buckets", wish).status == 400


def test_a_bucket_of_a_service_is_not_changed(live: Live) -> None:
    bucket = f"b-{secrets.token_hex(4)}"
    live.create(output=[{"storage_provider": "minio", "path": f"{bucket}/out"}])
    assert live.ask("PUT", "/system/buckets", {"bucket_name": bucket}).status == 403


def test_a_presigned_url_needs_no_credentials(live: Live) -> None:
    name = f"b-{secrets.token_hex(4)}"
    live.ask("POST", "/system/buckets", {"bucket_name": name})
    path = f"/system/buckets/{name}/presign"
    up = live.ask("POST", path, {"object_key": "a b", "operation": "upload", "expires": 60}).json
    assert list(up) == ["object_key", "operation", "method", "url", "expires_at"]
    request = urllib.request.Request(up["url"], b"hello", method=up["method"])
    assert urllib.request.urlopen(request).status == 200
    down = live.ask("POST", path, {"object_key": "a b", "operation": "download"}).json
    assert urllib.request.urlopen(down["url"]).read() == b"hello"
    right = {"object_key": "a", "operation": "upload"}
    for wrong in ({"object_key": " "}, {"operation": "x"}, {"expires_in": 604801}):
        wish = {**right, **wrong}
        assert live.ask("POST", path, wish).status == 400


def test_what_a_client_must_know(live: Live) -> None:
    found = live.ask("GET", "/system/config/").json
    assert list(found) == ["config", "minio_provider", "allowed_image_repositories"]
    assert found["config"]["name"] == "oscar"
    assert found["config"]["oidc_groups"] == []
    assert found["minio_provider"]["secret_key"] == live.store.credentials.secret_key.reveal()
    assert list(live.ask("GET", "/system/info").json)[:2] == ["version", "git_commit"]
    status = live.ask("GET", "/system/status").json
    assert status["oscar"]["ready"] is True
    assert status["cluster"]["nodes_count"] == 1
    assert live.ask("POST", "/system/services", echo(name="seen-in-calls")).status == 201
    live.ask("POST", "/run/seen-in-calls", b"x")
    calls = live.ask("GET", "/system/logs").json["logs"]
    assert (calls[-1]["path"], calls[-1]["status"]) == ("/run/seen-in-calls", 200)
    assert calls[-1]["raw"].startswith("[GIN-EXECUTIONS-LOGGER] ")
