"""Old files of SCAR become FDL that validates, with no secret in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import FdlError
from bridge.fdl import Document, parse
from bridge.operate.scar import Imported, from_file
from tests.operate import shapes

SECRETS = ("muser", "mpass", "awsuser", "awskey", "s3cr3t", "hunter2", "topsecret")


def imported(tmp_path: Path, text: str, **options: bool) -> tuple[Imported, Document]:
    """The import of a file beside which all scripts are, and what it means."""
    for name in ("yolo.sh", "split.sh", "run.sh"):
        (tmp_path / name).write_text("echo hello\n")
    path = tmp_path / "old.yaml"
    path.write_text(text)
    made = from_file(path, **options)
    assert made.problems == ()
    return made, parse(made.text)


ALL = [v for k, v in vars(shapes).items() if k.isupper()]


@pytest.mark.parametrize("text", ALL)
def test_every_shape_validates_and_shows_no_secret(tmp_path: Path, text: str) -> None:
    made, _ = imported(tmp_path, text)
    assert not [secret for secret in SECRETS if secret in made.text]


@pytest.mark.parametrize("text", ALL)
def test_what_was_imported_is_imported_unchanged(tmp_path: Path, text: str) -> None:
    made, document = imported(tmp_path, text)
    again, same = imported(tmp_path, made.text)
    assert same == document
    assert again.blank == ()


def test_version_3_has_its_folders_by_the_functions_name(tmp_path: Path) -> None:
    made, document = imported(tmp_path, shapes.VERSION_3)
    service = document.service("scar-darknet")
    assert service.image == "grycap/darknet"
    assert service.timeout == 30
    assert service.execution_mode == "lambda-batch"
    assert [path.path for path in service.inputs] == ["scar-test/scar-darknet/input"]
    assert [path.path for path in service.outputs] == ["scar-test/scar-darknet/output"]
    assert service.variables == {"ITERATIONS": "10"}
    assert list(service.secrets) == ["API_TOKEN"]
    assert made.blank == ("functions.aws[0].lambda.container.environment.secrets.API_TOKEN",)


def test_version_3_keeps_the_folders_that_it_names(tmp_path: Path) -> None:
    service = imported(tmp_path, shapes.FOLDERS_3)[1].service("parser")
    assert [path.path for path in service.inputs] == ["one-bucket/in"]
    assert [path.path for path in service.outputs] == ["two-bucket/out"]


def test_named_storages_become_providers(tmp_path: Path) -> None:
    _, document = imported(tmp_path, shapes.BETA_NAMED)
    service = document.service("split")
    assert [str(path) for path in service.inputs] == ["s3.default:videos"]
    assert [str(path) for path in service.outputs] == ["minio.minio-bucket:videos/out"]
    provider = document.providers[service.outputs[0].provider]
    assert provider.settings["endpoint"] == "https://minio.example.org"
    assert set(provider.secrets) == {"access_key", "secret_key"}


def test_one_storage_of_a_type_is_its_default(tmp_path: Path) -> None:
    made, document = imported(tmp_path, shapes.BETA_PLAIN)
    service = document.service("function1")
    assert [str(path) for path in service.inputs] == ["s3.default:s3-bucket/test1"]
    assert [path.suffix for path in service.outputs] == [("wav", "srt"), ()]
    assert [path.prefix for path in service.outputs] == [(), ("my_file",)]
    assert any("minio:my-bucket/test is left out" in note for note in made.notes)


def test_a_list_of_functions_is_of_aws(tmp_path: Path) -> None:
    service = imported(tmp_path, shapes.BETA_LIST)[1].service("function1")
    assert service.origin == "aws"
    assert [str(path) for path in service.outputs] == ["minio.minio-local:my-bucket/out"]


def test_version_4_is_mended_and_says_what_was(tmp_path: Path) -> None:
    made, document = imported(tmp_path, shapes.VERSION_4)
    service = document.service("function1")
    said = "\n".join(made.notes)
    for what in ("python3.7", "my_own", "m3.medium", "extra"):
        assert what in said
    options = service.options
    assert options is not None
    assert options.function.container.timeout_threshold == 12
    assert options.batch.compute_resources.instance_types == ("optimal",)
    assert options.function.layers == ()
    assert document.service("service1").pin == "my_oscar"


def test_secrets_are_written_only_when_asked_for(tmp_path: Path) -> None:
    made, document = imported(tmp_path, shapes.VERSION_4, reveal=True)
    assert made.blank == ()
    password = document.clusters["my_oscar"].auth_password
    assert password is not None
    assert password.reveal() == "topsecret"
    assert document.service("function1").variables["DB_PASSWORD"] == "hunter2"


def test_scripts_are_named_from_where_the_file_goes(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "yolo.sh").write_text("true\n")
    (tmp_path / "old" / "scar.yaml").write_text(shapes.VERSION_3)
    made = from_file(tmp_path / "old" / "scar.yaml", folder=tmp_path)
    assert made.problems == ()
    assert parse(made.text).service("scar-darknet").script == "old/yolo.sh"


def test_what_cannot_be_mended_is_a_problem_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text("functions:\n  aws:\n  - lambda: {name: f, memory: 20000, image: a/b}\n")
    made = from_file(path)
    assert [problem.path for problem in made.problems] == ["functions.aws[0].lambda.memory"]


@pytest.mark.parametrize(
    "text", ["", "[1, 2]", "a: b", "functions: [", "functions: {a: {b: *x}}", "functions:\n"]
)
def test_what_is_no_file_of_scar_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(text)
    with pytest.raises(FdlError, match=r"old\.yaml:\d+:\d+: the file"):
        from_file(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FdlError, match="cannot be read"):
        from_file(tmp_path / "absent.yaml")
