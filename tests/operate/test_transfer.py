"""`put` and `get`: every byte and name arrives, and nothing leaves the folder asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import NotFoundError, UsageError
from bridge.operate import transfer
from tests.operate.world import BUCKET, World

NAMES = ("plain.txt", "with blank.txt", "sub/dir/ümläut €.bin", "a+b%2Fc.txt", "é\u0301.txt")


@pytest.fixture
def tree(world: World, tmp_path: Path) -> Path:
    """A folder of files with names that are hard to keep."""
    for number, name in enumerate(NAMES):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * (number * 1000))
    return tmp_path / "tree"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_folder_goes_up_and_comes_back_the_same(world: World, tree: Path, tmp_path: Path) -> None:
    sent = world.ok("put", f"s3://{BUCKET}/round trip", tree)["files"]
    assert {one["url"] for one in sent} == {f"s3://{BUCKET}/round trip/{n}" for n in NAMES}
    done = world.run("get", f"s3://{BUCKET}/round trip/", tmp_path / "back")
    assert done.status == 0, done.err
    assert contents(tmp_path / "back") == contents(tree)


def test_one_object_comes_by_its_own_name(world: World, tmp_path: Path) -> None:
    file = world.file("single.txt", b"one")
    assert world.run("put", f"s3://{BUCKET}/alone", file).status == 0
    done = world.run("get", f"s3://{BUCKET}/alone/single.txt", tmp_path / "got")
    assert done.status == 0, done.err
    assert contents(tmp_path / "got") == {"single.txt": b"one"}


def test_a_services_input_and_output_stand_for_their_folders(world: World, tmp_path: Path) -> None:
    file = world.file("via-service.txt", b"quiet")
    sent = world.ok("put", "shout", file)["files"]
    assert sent[0]["url"] == f"s3://{BUCKET}/shout/in/via-service.txt"
    world.client("s3").put_object(Bucket=BUCKET, Key="answerless/x", Body=b"")
    world.client("s3").put_object(Bucket=BUCKET, Key="count/out/deep/x.txt", Body=b"5")
    assert world.run("get", "count", tmp_path / "out").status == 0
    assert contents(tmp_path / "out")["deep/x.txt"] == b"5"
    assert "one output folder" in world.run("get", "answer", tmp_path / "no").failed(2)
    assert "no input path" in world.run("put", "answer", file).failed(2)


@pytest.mark.parametrize(
    "key",
    ["../../escaped.txt", "a/../../escaped.txt", "/escaped.txt", "x//y.txt", "./z", "n" * 300],
)
def test_a_key_that_is_no_file_below_the_folder_is_refused_and_the_rest_comes(
    world: World, tmp_path: Path, key: str
) -> None:
    prefix = f"evil-{abs(hash(key))}"
    s3 = world.client("s3")
    s3.put_object(Bucket=BUCKET, Key=f"{prefix}/good.txt", Body=b"good")
    s3.put_object(Bucket=BUCKET, Key=f"{prefix}/{key}", Body=b"evil")
    done = world.run("get", f"s3://{BUCKET}/{prefix}", tmp_path / "safe" / "deep")
    assert "cannot be the name of a file" in done.failed(1)
    assert contents(tmp_path) == {"safe/deep/good.txt": b"good"}


def test_a_link_in_the_folder_does_not_lead_out(world: World, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "outside")
    world.client("s3").put_object(Bucket=BUCKET, Key="linked/link/x/y.txt", Body=b"evil")
    done = world.run("get", f"s3://{BUCKET}/linked", tmp_path / "in")
    assert "by a link" in done.failed(1)
    assert contents(tmp_path / "outside") == {}
    assert not list((tmp_path / "outside").iterdir())


def test_what_stands_in_the_way_of_a_file_is_said(world: World, tmp_path: Path) -> None:
    s3 = world.client("s3")
    s3.put_object(Bucket=BUCKET, Key="clash/a/b", Body=b"below")
    (tmp_path / "a").write_text("a file")
    assert "a/b" in world.run("get", f"s3://{BUCKET}/clash", tmp_path).failed(1)
    assert (tmp_path / "a").read_text() == "a file"


def test_nothing_at_a_place_is_an_error_and_makes_no_folder(world: World, tmp_path: Path) -> None:
    said = world.run("get", f"s3://{BUCKET}/nothing/here", tmp_path / "x").failed(1)
    assert f"no object at s3://{BUCKET}/nothing/here/" in said
    assert not (tmp_path / "x").exists()
    assert "no-such-bucket" in world.run("get", "s3://no-such-bucket/x", tmp_path).failed(1)
    assert "not an s3:// URL" in world.run("get", "http://x/y", tmp_path).failed(1)


def test_files_that_cannot_be_sent_are_wrong_usage(world: World, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        transfer.named_files([tmp_path / "absent"])
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.txt").write_text(folder)
    with pytest.raises(UsageError, match="would both be called same"):
        transfer.named_files([tmp_path / "one" / "same.txt", tmp_path / "two" / "same.txt"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no file to send"):
        transfer.named_files([tmp_path / "empty"])


def test_a_bucket_that_is_not_there_is_said_once(world: World, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="bucket no-such-bucket"):
        transfer.place_at(world.account, "s3://no-such-bucket/x")
