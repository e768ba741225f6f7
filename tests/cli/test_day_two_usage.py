"""The commands of day two where nothing of AWS is asked: usage, files, and what they load."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.cli.aws_options import account_of
from bridge.errors import UsageError
from bridge.operate.moments import moment
from tests.command import bridge, python, write

COMMANDS = ["ls", "logs", "jobs", "job", "invoke", "submit", "put", "get", "cost", "import-scar"]
NO_AWS = {
    "AWS_REGION": "",
    "AWS_DEFAULT_REGION": "",
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
    "AWS_EC2_METADATA_DISABLED": "true",
}
LOADED = """
import sys
from bridge.cli.main import app
from click.testing import CliRunner
assert CliRunner().invoke(app, ["--help"]).exit_code == 0
print(*sorted(name for name in sys.modules if name.startswith(("bridge.", "boto"))))
"""
OLD = """
functions:
  my-function:
    image: a/b
    s3: {input_bucket: my-bucket}
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_is_listed(command: str) -> None:
    done = bridge(command, "--help")
    assert done.status == 0
    assert "--prefix" in done.out and "--region" in done.out
    assert f"\n  {command} " in bridge("--help").out


def test_help_loads_nothing_of_what_the_commands_use() -> None:
    loaded = python(LOADED).out.split()
    assert not [name for name in loaded if name.startswith(("boto", "bridge.operate"))]
    assert "bridge.targets" not in loaded


def test_without_a_region_it_is_said_how_to_give_one() -> None:
    said = bridge("ls", env=NO_AWS).failed(2)
    assert "no AWS region" in said and "--region" in said


def test_without_credentials_it_is_said_how_to_give_them() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    said = bridge("ls", "--region", "eu-west-1", env=NO_AWS | keys).failed(1)
    assert "credentials" in said and "AWS_PROFILE" in said


@pytest.mark.parametrize(
    "arguments",
    [("logs",), ("invoke",), ("submit", "x"), ("put", "x"), ("get", "s3://x"), ("job",)],
)
def test_missing_arguments_are_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert "Usage" in bridge(*arguments).failed(2)


@pytest.mark.parametrize("prefix", ["", "A", "-x", "x" * 40, "a_b", "x."])
def test_a_prefix_that_a_bucket_cannot_have_is_refused(prefix: str) -> None:
    with pytest.raises(UsageError, match="--prefix"):
        account_of(region="eu-west-1", prefix=prefix)


def test_the_region_comes_from_the_option_the_variables_or_the_profile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile lab]\nregion = eu-south-1\n")
    for name, value in (NO_AWS | {"AWS_CONFIG_FILE": str(config)}).items():
        monkeypatch.delenv(name, raising=False)
        if value:
            monkeypatch.setenv(name, value)
    assert account_of(profile="lab").region == "eu-south-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    assert account_of().region == "eu-west-3"
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert account_of(profile="lab").region == "eu-west-2"
    assert account_of(region="eu-west-1").region == "eu-west-1"


def test_an_old_file_is_imported_without_aws(tmp_path: Path) -> None:
    write(tmp_path, {"old.yaml": OLD})
    done = bridge("import-scar", tmp_path / "old.yaml", env=NO_AWS)
    assert done.status == 0, done.err
    (tmp_path / "new.yaml").write_text(done.out)
    assert bridge("validate", tmp_path / "new.yaml").status == 0
    assert "SCAR 3" in done.err


def test_an_import_into_a_file_and_as_json(tmp_path: Path) -> None:
    write(tmp_path, {"old.yaml": OLD})
    done = bridge("import-scar", tmp_path / "old.yaml", "-o", tmp_path / "new.yaml", env=NO_AWS)
    assert (done.status, done.out) == (0, "")
    found = bridge("import-scar", tmp_path / "old.yaml", "--json", env=NO_AWS).json
    assert found["fdl"] == (tmp_path / "new.yaml").read_text()
    assert found["problems"] == []


def test_what_validate_would_refuse_is_status_2_and_printed_all_the_same(tmp_path: Path) -> None:
    write(tmp_path, {"old.yaml": OLD.replace("image: a/b", "image: a/b\n    memory: 99999")})
    done = bridge("import-scar", tmp_path / "old.yaml", env=NO_AWS)
    assert "lambda.memory" in done.failed(2)
    assert "memory: 99999" in done.out


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 400.0), ("2h", 0.0), ("90s", 910.0), ("1970-01-01T00:10:00Z", 600.0), ("1.5m", 910.0)],
)
def test_moments(text: str, seconds: float) -> None:
    assert moment(text, 1000.0) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10", "10 years", "-5m", "1960-01-01", "99999-01-01"])
def test_what_is_no_moment_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="not a time"):
        moment(text, 1000.0)
