"""Services on a cluster from their plan to their end, as a user types it; the manager is ours."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from bridge.cli.main import main
from tests.cli.test_face import imported
from tests.command import Done, environment, write
from tests.manager.conftest import PASSWORD, USER, Live, serve

SECRET = "the-word-that-nobody-sees"
FDL = """
functions:
  oscar:
  - lab:
      name: shout
      image: oscar-bridge/busybox:local
      memory: 64Mi
      cpu: '0.1'
      script: shout.sh
      input:
      - {storage_provider: minio.default, path: words/in}
      output:
      - {storage_provider: minio.default, path: words/out}
      environment:
        variables: {MARK: '!'}
        secrets: {WORD: the-word-that-nobody-sees}
  - lab:
      name: answer
      image: oscar-bridge/busybox:local
      memory: 64Mi
      cpu: '0.1'
      script: answer.sh
"""
SCRIPTS = {
    "shout.sh": 'echo "shouting"\n'
    '(tr a-z A-Z < "$INPUT_FILE_PATH"; printf %s "$MARK$WORD") > "$TMP_OUTPUT_DIR/loud.txt"\n',
    "answer.sh": 'grep -q fail "$INPUT_FILE_PATH" && exit 5\n'
    'printf "got:"; cat "$INPUT_FILE_PATH"\n',
}
NO_AWS = {
    "AWS_REGION": "",
    "AWS_DEFAULT_REGION": "",
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
}


@dataclass(frozen=True)
class Lab:
    """A cluster, a file for it, and the command of a user who has nothing else."""

    live: Live
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        return {
            **NO_AWS,
            "HOME": str(self.folder),
            "OSCAR_ENDPOINT": self.live.url,
            "OSCAR_USERNAME": USER,
            "OSCAR_PASSWORD": PASSWORD,
        }

    def run(self, *words: str | Path, **env: str) -> Done:
        done = inside(self.folder, {**self.env, **env}, *words)
        assert SECRET not in done.said and PASSWORD not in done.said
        assert "Traceback" not in done.said
        return done

    def ok(self, *words: str | Path) -> Any:
        done = self.run(*words, "--json")
        assert done.status == 0, (done.err, done.out)
        return done.json

    def edit(self, old: str, new: str) -> None:
        text = (self.folder / "flow.yaml").read_text()
        assert old in text
        (self.folder / "flow.yaml").write_text(text.replace(old, new))

    def changes(self) -> dict[str, tuple[str, dict[str, tuple[str, str]]]]:
        """Service → action, and the fields with before and after."""
        return {
            row["name"]: (
                row["action"],
                {one["path"]: (one["before"], one["after"]) for one in row["properties"]},
            )
            for row in self.ok("plan", "flow.yaml")["changes"]
        }

    def service(self, name: str) -> Any:
        return self.live.ask("GET", f"/system/services/{name}")


def inside(folder: Path, env: Mapping[str, str], *words: str | Path, stdin: str = "") -> Done:
    """The command in this process, which spares the start of so many."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    status: object = 0
    with (
        mock.patch.dict(os.environ, env),
        mock.patch.object(sys, "stdin", io.StringIO(stdin)),
        mock.patch.object(sys, "argv", ["oscar-bridge", *map(str, words)]),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            status = end.code
    for stream in (out, err):
        stream.seek(0)
    return Done(int(str(status or 0)), out.read(), err.read())


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    write(folder, {"flow.yaml": FDL, **SCRIPTS})
    with ExitStack() as stack:
        yield Lab(serve(folder / "manager", stack), folder)


def test_from_the_plan_to_a_plan_that_is_empty(lab: Lab) -> None:
    assert {name: action for name, (action, _) in lab.changes().items()} == {
        "shout": "create",
        "answer": "create",
    }
    assert lab.service("shout").status == 404
    assert "--yes" in lab.run("apply", "flow.yaml").failed(2)
    done = lab.run("apply", "flow.yaml", "--yes")
    assert done.status == 0, done.said
    assert "on cluster lab" in done.out
    # What others wrote on the cluster, and what it writes itself, is no change.
    again = lab.run("plan", "flow.yaml", "--exit-code")
    assert again.status == 0, again.said
    assert "nothing to change" in again.out
    assert lab.run("drift", "flow.yaml").status == 0
    service = lab.service("shout").json
    assert service["environment"]["variables"] == {"MARK": "!"}
    assert service["annotations"]["oscar-bridge/deployment"] == "flow"
    listed = {one["service"]: one for one in lab.ok("ls")["services"]}
    assert listed["shout"]["targets"] == ["oscar"]
    assert (listed["shout"]["deployment"], listed["shout"]["memory"]) == ("flow", [64])


def test_nothing_of_aws_is_loaded_or_asked(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**environment(), **lab.env}.items():
        monkeypatch.setenv(name, value)
    for words in (("plan", lab.folder / "flow.yaml"), ("ls",), ("jobs",)):
        assert not imported(*words) & {"boto3", "botocore"}


def test_a_file_becomes_a_job_and_its_output_comes_back(lab: Lab) -> None:
    (lab.folder / "hello.txt").write_text("hello")
    handed = lab.ok("submit", "shout", "hello.txt", "--wait")
    (job,) = handed["jobs"]
    assert (job["service"], job["state"]) == ("shout", "succeeded")
    assert [one["id"] for one in lab.ok("jobs", "shout")["jobs"]] == [job["id"]]
    assert lab.ok("job", job["id"])["state"] == "succeeded"
    for words in ((), ("--job", job["id"]), ("--job", job["id"], "-f")):
        said = lab.run("logs", "shout", *words)
        assert "shouting" in said.out, said.said
    assert lab.run("get", "shout", "back").status == 0
    assert (lab.folder / "back" / "loud.txt").read_text() == f"HELLO!{SECRET}"
    put = lab.run("put", "minio://words/aside", "hello.txt")
    assert put.status == 0 and "minio://words/aside/hello.txt" in put.out
    assert lab.run("get", "minio://words/aside", "aside").status == 0
    assert (lab.folder / "aside" / "hello.txt").read_text() == "hello"
    assert "not a minio:// URL" in lab.run("get", "s3://words", "x").failed(2)


def test_a_service_without_an_input_answers_and_takes_events(lab: Lab) -> None:
    (lab.folder / "question.txt").write_text("why?")
    assert lab.run("invoke", "answer", "question.txt").out.strip() == "got:why?"
    (lab.folder / "bad.txt").write_text("fail")
    handed = lab.run("submit", "answer", "question.txt", "bad.txt", "--wait", "--json")
    assert handed.status == 1, handed.said
    names = [one["jobs"][0] for one in handed.json["files"]]
    states = {one["id"]: one["state"] for one in handed.json["jobs"]}
    assert [states[name] for name in names] == ["succeeded", "failed"]
    assert "failed" in lab.run("logs", "answer", "--job", names[1]).err
    assert "no job nothing" in lab.run("logs", "answer", "--job", "nothing").failed(1)


def test_what_changes_is_shown_field_by_field_and_secrets_are_not(lab: Lab) -> None:
    token = lab.service("shout").json["token"]
    lab.edit(
        "memory: 64Mi\n      cpu: '0.1'\n      script: shout.sh",
        "memory: 128Mi\n      cpu: 100m\n      script: shout.sh",
    )
    lab.edit("{MARK: '!'}", "{OTHER: 'yes'}")
    action, fields = lab.changes()["shout"]
    assert action == "update"
    assert fields == {
        "memory": ('"64Mi"', '"128Mi"'),
        "environment.variables.MARK": ('"!"', ""),
        "environment.variables.OTHER": ("", '"yes"'),
    }
    assert lab.run("drift", "flow.yaml").status == 4
    assert lab.run("apply", "flow.yaml", "--yes").status == 0
    assert lab.run("plan", "flow.yaml", "--exit-code").status == 0
    service = lab.service("shout").json
    assert (service["memory"], service["token"]) == ("128Mi", token)

    lab.edit(f"WORD: {SECRET}", f"WORD: {SECRET}-2")
    (row,) = [r for r in lab.ok("plan", "flow.yaml")["changes"] if r["name"] == "shout"]
    assert (row["action"], row["properties"]) == ("update", [])
    assert "secrets" in row["why"]
    assert lab.run("apply", "flow.yaml", "--yes").status == 0
    assert lab.run("plan", "flow.yaml", "--exit-code").status == 0


def test_what_was_changed_by_hand_is_seen_and_put_right(lab: Lab) -> None:
    by_hand = lab.service("answer").json | {"image": "busybox:other"}
    assert lab.live.ask("PUT", "/system/services", by_hand).status == 204
    assert lab.changes()["answer"][1] == {
        "image": ('"busybox:other"', '"oscar-bridge/busybox:local"')
    }
    assert lab.live.ask("DELETE", "/system/services/answer").status == 204
    found = lab.run("drift", "flow.yaml", "--json")
    assert found.status == 4
    assert [(one["name"], one["state"]) for one in found.json["drifted"]] == [("answer", "deleted")]
    assert lab.run("apply", "flow.yaml", "--yes").status == 0
    assert lab.service("answer").json["image"] == "oscar-bridge/busybox:local"


def test_a_deployment_touches_nothing_of_another(lab: Lab) -> None:
    said = lab.run("plan", "flow.yaml", "--name", "other").failed(1)
    assert "belongs to the deployment flow" in said
    said = lab.run("destroy", "flow.yaml", "--name", "other", "--yes").failed(1)
    assert "there is no deployment other" in said
    assert lab.service("shout").status == 200


def test_without_the_right_credentials_it_is_said_whose_they_are(lab: Lab) -> None:
    said = lab.run("apply", "flow.yaml", "--yes", OSCAR_PASSWORD="wrong-one").failed(1)
    assert "user oscar from the environment" in said and "wrong-one" not in said
    done = lab.run("plan", "flow.yaml", OSCAR_ENDPOINT="http://127.0.0.1:9")
    assert done.status == 0 and "no change set: cluster lab" in done.out
    said = lab.run("ls", OSCAR_ENDPOINT="http://127.0.0.1:9").failed(1)
    assert "cannot be reached" in said
    said = lab.run("ls", OSCAR_USERNAME="", OSCAR_PASSWORD="").failed(1)
    assert "no credentials from the environment" in said
    nothing = {"OSCAR_ENDPOINT": "", "OSCAR_USERNAME": "", "OSCAR_PASSWORD": ""}
    assert "cluster lab has no endpoint" in lab.run("apply", "flow.yaml", "-y", **nothing).failed(2)


def test_what_the_file_needs_no_more_goes_and_the_end_keeps_data(lab: Lab) -> None:
    stranger = lab.live.create()
    text = (lab.folder / "flow.yaml").read_text()
    (lab.folder / "flow.yaml").write_text(text[: text.index("  - lab:\n      name: answer")])
    assert {name: action for name, (action, _) in lab.changes().items()} == {
        "shout": "none",
        "answer": "delete",
    }
    assert lab.run("apply", "flow.yaml", "--yes").status == 0
    assert lab.service("answer").status == 404
    done = lab.run("destroy", "flow.yaml", "--yes")
    assert done.status == 0, done.said
    assert "bucket words stays" in done.out
    assert lab.service("shout").status == 404
    assert lab.service(stranger).status == 200
    assert lab.run("get", "minio://words/out", "kept").status == 0
    assert (lab.folder / "kept" / "loud.txt").exists()
    assert "there is no deployment flow" in lab.run("destroy", "flow.yaml", "-y").failed(1)


def test_a_side_that_cannot_be_asked_is_named_and_the_other_is_shown(lab: Lab) -> None:
    aws = "  aws:\n  - lambda: {name: on-aws, container: {image: i}, init_script: answer.sh}\n"
    write(lab.folder, {"both.yaml": FDL.replace("name: ", "name: both-") + aws})
    told = lab.ok("plan", "both.yaml")
    assert {row["name"] for row in told["changes"]} == {"both-shout", "both-answer"}
    assert any("no AWS region" in note for note in told["notes"]), told["notes"]
    assert "no AWS region" in lab.run("apply", "both.yaml", "--yes").failed(2)
    assert lab.service("both-shout").status == 404


def test_a_kubernetes_cluster_without_a_manager_is_refused(lab: Lab) -> None:
    text = "targets: {bare: {kind: kubernetes}}\n" + FDL.replace("- lab:", "- bare:")
    write(lab.folder, {"bare.yaml": text})
    said = lab.run("apply", "bare.yaml", "--yes").failed(2)
    assert "without a manager" in said and "oscar-bridge up" in said
    assert "only a manager serves" in lab.run("plan", "bare.yaml").out


def test_a_cluster_of_another_tools_file_is_known_by_its_name(lab: Lab) -> None:
    home = lab.folder / "home"
    entry = {"endpoint": lab.live.url, "auth_user": USER, "auth_password": PASSWORD}
    lines = "".join(f"    {key}: {value}\n" for key, value in entry.items())
    write(home, {".oscar-cli/config.yaml": f"oscar:\n  far:\n{lines}default: far\n"})
    without = {"OSCAR_ENDPOINT": "", "OSCAR_USERNAME": "", "OSCAR_PASSWORD": "", "HOME": str(home)}
    assert lab.run("ls", **without).status == 0
    assert lab.run("ls", "--cluster", "far", **without).status == 0
    assert "cluster near has no endpoint" in lab.run("ls", "--cluster", "near", **without).failed(2)
    assert "far" in lab.run("doctor", **without).out
