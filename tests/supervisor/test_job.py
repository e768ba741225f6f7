"""One job in this process: what the script sees, what is stored, what the report says."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.errors import StorageUnavailable
from bridge.events import decode
from bridge.storage import Store
from bridge.supervisor import Report, folder_secrets, parse_report, parse_service, stores_for
from tests.supervisor.world import World

COPY = 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"\n'
SHOW = 'env | sort > "$TMP_OUTPUT_DIR/env"; pwd > "$TMP_OUTPUT_DIR/pwd"\n'


def shown(world: World, name: str = "out/env") -> dict[str, str]:
    """The environment that a script with SHOW has stored."""
    lines = world.objects()[name].decode().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


@pytest.mark.parametrize(
    "name",
    ["a.txt", "two words.txt", "a+b.txt", "100%.txt", "a%20b", "ñandú 日本 🎉.txt", "-rf", "$(x)"],
)
def test_a_file_goes_through_whatever_its_name(world: World, name: str) -> None:
    world.upload(f"in/deep/{name}", b"data")

    report = world.run(
        'set -e\ncp -- "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR"\necho done', f"in/deep/{name}"
    )

    assert report.state == "succeeded", report.reason
    assert world.objects() == {f"out/{name}": b"data"}
    assert (report.exit_code, report.status, report.reason) == (0, 0, "")
    assert report.input == {
        "provider": "minio.default",
        "bucket": world.bucket,
        "key": f"in/deep/{name}",
        "size": 4,
    }
    (output,) = report.outputs
    assert output["key"] == f"out/{name}"
    assert output["size"] == 4
    assert len(output["etag"]) == 32
    assert list(report.phases) == ["stage_in", "script", "stage_out"]
    assert report.started <= report.ended
    assert b"done\n" in world.log


def test_the_environment_is_upstreams(world: World) -> None:
    world.upload("in/sub/a.txt")
    report = world.run(SHOW, "in/sub/a.txt", env={"GREETING": "hello $HOME"})
    env = shown(world)

    work = Path(env["TMP_INPUT_DIR"]).parent
    assert env["INPUT_FILE_PATH"] == f"{env['TMP_INPUT_DIR']}/a.txt"
    assert env["STORAGE_OBJECT_KEY"] == "in/sub/a.txt"
    assert env["EVENT_TIME"] == "2026-11-22T10:00:00.000Z"
    assert json.loads(env["EVENT"])["Records"][0]["eventSource"] == "minio:s3"
    assert env["OSCAR_SERVICE_NAME"] == "svc"
    assert env["JOB_UUID"] == report.job
    assert env["GREETING"] == "hello $HOME"
    assert env["TMPDIR"].startswith(str(work))
    assert world.objects()["out/pwd"].decode().strip() == str(work)
    assert work.parent == world.base


def test_nothing_of_ours_is_shown_to_the_script(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "BRIDGE_SECRETS_DIR",
        "CONT_VAR_old",
        "SCRIPT",
        "FUNCTION_CONFIG",
        "FDL",
    ):
        monkeypatch.setenv(name, "visible")
    monkeypatch.setenv("BRIDGE_ORIG_LD_LIBRARY_PATH", "/users/own")
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    monkeypatch.setenv("BRIDGE_ORIG_PYTHONHOME", "")
    monkeypatch.setenv("PYTHONHOME", "ours")
    world.upload("in/a")

    world.run(SHOW, "in/a")
    env = shown(world)
    assert "visible" not in env.values()
    assert env["LD_LIBRARY_PATH"] == "/users/own"
    assert "PYTHONHOME" not in env

    world.run(SHOW, "in/a", credentials=True)
    assert shown(world)["AWS_ACCESS_KEY_ID"] == "visible"
    assert "BRIDGE_SECRETS_DIR" not in shown(world)


def test_one_job_sees_nothing_of_another(world: World) -> None:
    world.upload("in/a")
    world.run(SHOW, "in/a", env={"ONLY": "first"})
    (event,) = decode({"httpMethod": "POST", "queryStringParameters": {"q": "1"}, "body": "x y z"})
    world.run(SHOW, event)
    env = shown(world)
    assert env["CONT_VAR_q"] == "1"
    assert "ONLY" not in env
    assert "STORAGE_OBJECT_KEY" not in env
    world.run(SHOW, "in/a")
    assert "CONT_VAR_q" not in shown(world)
    assert "CONT_VAR_q" not in os.environ


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        (b"plain text, no base64", b"plain text, no base64"),
        (b"aGVsbG8gd29ybGQ=", b"hello world"),
        (b'{"a": [1, 2]}', b'{"a": [1, 2]}'),
        (b"17", b"17"),
        (b"", b""),
        (b"\x00\xff\x00", b"\x00\xff\x00"),
    ],
)
def test_a_raw_body_is_the_input_file(world: World, body: bytes, stored: bytes) -> None:
    (event,) = decode(body)
    report = world.run(
        'cat "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/copy"; basename "$INPUT_FILE_PATH"', event
    )
    assert report.state == "succeeded"
    assert world.objects() == {"out/copy": stored}
    assert b"event-file" in world.log


def test_a_large_event_is_in_the_file_only(world: World) -> None:
    (event,) = decode(b"x " * 200_000)
    report = world.run(SHOW, event)
    assert report.state == "succeeded", report.reason
    assert "EVENT" not in shown(world)


def test_file_stage_in_leaves_the_download_to_the_script(world: World) -> None:
    world.document["file_stage_in"] = True
    report = world.run(SHOW, "in/not-there")
    assert report.state == "succeeded"
    assert "INPUT_FILE_PATH" not in shown(world)
    assert shown(world)["STORAGE_OBJECT_KEY"] == "in/not-there"


def test_an_empty_file_in_and_out(world: World) -> None:
    world.upload("in/empty", b"")
    assert world.run(COPY, "in/empty").outputs[0]["size"] == 0
    assert world.objects() == {"out/empty": b""}


def test_filters_see_the_relative_name_and_files_go_to_every_taker(world: World) -> None:
    provider = {"storage_provider": "minio.default"}
    world.document["output"] = [
        {**provider, "path": f"/{world.bucket}//all/", "suffix": [], "prefix": []},
        {**provider, "path": f"{world.bucket}/text", "suffix": [".txt", ".md"]},
        {**provider, "path": f"{world.bucket}/deep", "prefix": ["sub/"], "suffix": [".txt"]},
        {**provider, "path": f"{world.bucket}/none", "prefix": "nothing"},
        {**provider, "path": f"{world.bucket}/text", "prefix": ["a"]},
        {**provider, "path": world.bucket, "prefix": ["a"]},
    ]
    world.upload("in/x")
    script = (
        'cd "$TMP_OUTPUT_DIR"; mkdir -p sub/more empty\n'
        "for f in a.txt b.bin sub/c.txt sub/more/d.md; do echo $f > $f; done"
    )

    report = world.run(script, "in/x")

    assert report.state == "succeeded"
    everything = ["all/a.txt", "all/b.bin", "all/sub/c.txt", "all/sub/more/d.md"]
    texts = ["text/a.txt", "text/sub/c.txt", "text/sub/more/d.md"]
    expected = {*everything, *texts, "deep/sub/c.txt", "a.txt", "in/x"}
    assert world.objects("").keys() == expected
    assert len(report.outputs) == len({(o["bucket"], o["key"]) for o in report.outputs}) == 9


def test_results_of_users_are_kept_apart(world: World) -> None:
    own = world.server.make_bucket()
    world.server.client().put_object(own, "in/x", io.BytesIO(b"x"), 1)
    world.document |= {"isolation_level": "user", "bucket_list": [own]}
    event = decode({**world.record("in/x")})[0]
    report = world.run(COPY, replace(event, bucket=own))

    assert [(o["bucket"], o["key"]) for o in report.outputs] == [(own, "out/x")]
    assert world.objects() == {}


@pytest.mark.parametrize("code", [1, 7, 124, 255])
def test_the_scripts_exit_status_is_the_jobs(world: World, code: int) -> None:
    world.upload("in/a")
    report = world.run(f"{COPY}echo so far\nexit {code}", "in/a")

    assert (report.state, report.exit_code, report.status) == ("failed", code, code)
    assert f"exit status {code}" in report.reason
    assert not report.temporary
    assert world.objects() == {}
    assert b"so far" in world.log
    assert list(report.phases) == ["stage_in", "script"]


def test_a_script_that_is_killed(world: World) -> None:
    world.upload("in/a")
    report = world.run("kill -KILL $$", "in/a")
    assert (report.state, report.exit_code, report.status) == ("failed", None, 137)
    assert "SIGKILL" in report.reason


@pytest.mark.parametrize(
    ("link", "words"),
    [("/etc/passwd", "leads out"), ("../../..", "leads out"), ("gone", "leads out|to nothing")],
)
def test_an_output_that_leads_out_is_refused(world: World, link: str, words: str) -> None:
    world.upload("in/a")
    report = world.run(
        f'echo x > "$TMP_OUTPUT_DIR/fine"; ln -s {link} "$TMP_OUTPUT_DIR/link"', "in/a"
    )
    assert (report.state, report.status) == ("failed", 126)
    assert "link" in report.reason
    assert any(word in report.reason for word in words.split("|"))
    assert world.objects() == {}


def test_the_output_folder_itself_may_not_be_a_link(world: World) -> None:
    world.upload("in/a")
    report = world.run('rmdir "$TMP_OUTPUT_DIR"; ln -s /etc "$TMP_OUTPUT_DIR"', "in/a")
    assert (report.status, world.objects()) == (126, {})


def test_links_inside_the_work_folder_and_special_files(world: World) -> None:
    world.upload("in/a", b"data")
    script = 'cd "$TMP_OUTPUT_DIR"; ln -s "$INPUT_FILE_PATH" same; mkfifo pipe; mkdir d; ln -s d e'
    assert world.run(script, "in/a").state == "succeeded"
    assert world.objects() == {"out/same": b"data"}


def test_an_output_name_that_is_no_text(world: World) -> None:
    world.upload("in/a")
    report = world.run(r'touch "$TMP_OUTPUT_DIR/$(printf "x\377y")"', "in/a")
    assert report.status == 126
    assert "UTF-8" in report.reason


def test_a_script_may_remove_its_folders_and_rights(world: World) -> None:
    world.upload("in/a")
    script = (
        "mkdir -p locked/inner; touch locked/inner/f; chmod 000 locked/inner locked\n"
        'rm -r "$TMP_OUTPUT_DIR" "$TMP_INPUT_DIR"'
    )
    assert world.run(script, "in/a").state == "succeeded"


@pytest.mark.parametrize(
    ("key", "status", "words"),
    [("in/gone", 125, "does not exist"), ("in/folder/", 125, "is a folder")],
)
def test_an_input_that_is_not_there(world: World, key: str, status: int, words: str) -> None:
    report = world.run("touch ran", key)
    assert (report.state, report.status, report.exit_code) == ("failed", status, None)
    assert words in report.reason
    assert "script" not in report.phases


def test_a_missing_output_bucket(world: World) -> None:
    world.document["output"] = [{"storage_provider": "minio", "path": "no-such-bucket/out"}]
    world.upload("in/a")
    report = world.run(COPY, "in/a")
    assert (report.status, report.exit_code) == (126, 0)
    assert "no-such-bucket" in report.reason


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"storage_provider": "rucio.r", "path": "x"}, "unsupported"),
        ({"storage_provider": "minio.other", "path": "b/out"}, "endpoint"),
        ({"storage_provider": "minio"}, "no path"),
    ],
)
def test_an_output_that_cannot_work_is_said_before_the_script_runs(
    world: World, output: dict[str, str], words: str
) -> None:
    world.document["output"] = [output]
    world.upload("in/a")
    report = world.run("echo ran", "in/a")
    assert report.status == 126
    assert words in report.reason
    assert b"ran\n" not in world.log


def test_no_script(world: World) -> None:
    world.upload("in/a")
    assert world.run(None, "in/a").status == 127


def test_a_store_that_is_away_is_a_temporary_failure(world: World) -> None:
    class Away:
        def get(self, *_: object) -> None:
            raise StorageUnavailable("cannot read: it is away")

    def stores(_: str) -> Store:
        return Away()  # type: ignore[return-value]

    report = world.run(COPY, "in/a", stores=stores)
    assert (report.state, report.status, report.temporary) == ("failed", 125, True)


def test_a_fault_of_ours_still_gives_a_report(world: World) -> None:
    def stores(_: str) -> Store:
        raise KeyError("surprise")

    report = world.run(COPY, "in/a", stores=stores)
    assert (report.state, report.status) == ("failed", 125)
    assert "surprise" in report.reason


def test_a_log_that_fails_does_not_stop_the_work(world: World) -> None:
    world.upload("in/a")

    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    report = world.run(f"echo hello\n{COPY}", "in/a", log=full)
    assert report.state == "succeeded"
    assert "No space left" in report.reason
    assert list(world.objects()) == ["out/a"]


def test_a_base_that_is_not_there(world: World) -> None:
    report = world.run(COPY, "in/a", base=str(world.folder / "nowhere"))
    assert (report.state, report.status) == ("failed", 125)
    assert "nowhere" in report.reason


def test_the_report_is_written_last_and_can_be_read_back(world: World) -> None:
    world.upload("in/a")
    place = world.folder / "report.json"
    report = world.run(COPY, "in/a", report=str(place), job="j-1", attempt=3)
    document = json.loads(place.read_text())
    assert document == report.as_json()
    assert list(document)[:6] == ["job", "attempt", "service", "state", "exit_code", "status"]
    assert (document["job"], document["attempt"]) == ("j-1", 3)
    assert isinstance(parse_report(document), Report)
    assert parse_report(document).as_json() == document
    assert sorted(p.name for p in world.folder.glob("*report*")) == ["report.json"]

    world.run("exit 3", "in/a", report=f"{world.folder}/", job="j-2")
    assert json.loads((world.folder / "j-2.json").read_text())["exit_code"] == 3


def test_a_report_that_cannot_be_written_fails_the_job(world: World) -> None:
    world.upload("in/a")
    report = world.run(COPY, "in/a", report=str(world.folder / "no" / "report.json"))
    assert (report.state, report.status) == ("failed", 126)
    assert "report" in report.reason


def test_a_job_that_has_succeeded_is_not_run_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", world.server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", world.server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", world.server.secret_key)
    stores = stores_for(parse_service(world.document), folder_secrets(str(world.secrets)))
    world.upload("in/a")
    options = {"stores": stores, "report": f"s3://{world.bucket}/reports/", "job": "j-1"}

    failed = world.run("exit 4", "in/a", **options)
    first = world.run(f"echo run >&2\n{COPY}", "in/a", attempt=2, **options)
    again = world.run(f"echo run >&2\n{COPY}", "in/a", attempt=3, **options)
    other = world.run("exit 5", "in/a", **options | {"job": "j-2"})

    assert failed.status == 4
    assert (first.state, first.repeated) == ("succeeded", False)
    assert (again.repeated, again.as_json()) == (True, first.as_json())
    assert world.log.count(b"run\n") == 1
    assert other.status == 5
    assert list(world.objects("reports/")) == ["reports/j-1.json", "reports/j-2.json"]
    assert json.loads(world.objects("reports/")["reports/j-1.json"]) == first.as_json()
