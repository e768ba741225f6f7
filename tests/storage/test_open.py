"""Opening stores: which types there are, what each needs, and what it costs to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bridge.errors import AccessError, PermanentError
from bridge.secret import Secret
from bridge.storage import open_store

KEYS = {"access_key": "a", "secret_key": Secret("b")}


def test_the_same_provider_is_the_same_store() -> None:
    settings = {"endpoint": "http://127.0.0.1:9"}
    first = open_store("minio", settings, KEYS)

    assert open_store("minio.default", dict(settings), dict(KEYS)) is first
    assert open_store("minio.default", settings, KEYS | {"secret_key": "c"}) is not first
    assert open_store("minio.default", {"endpoint": "http://127.0.0.1:8"}, KEYS) is not first


def test_a_change_of_the_environment_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "one")
    first = open_store("s3.default", {}, {})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "two")
    assert open_store("s3.default", {}, {}) is not first


@pytest.mark.parametrize("provider", ["rucio", "ftp.a", ""])
def test_an_unknown_type_says_what_is_supported(provider: str) -> None:
    with pytest.raises(PermanentError, match="unsupported") as caught:
        open_store(provider, {}, {})
    assert "folder, minio, onedata, s3, webdav" in caught.value.hint


def test_minio_needs_credentials_and_an_endpoint() -> None:
    with pytest.raises(AccessError, match=r"no credentials for minio\.default"):
        open_store("minio.default", {"endpoint": "http://h:9000"}, {})
    with pytest.raises(AccessError, match="no secret_key"):
        open_store("minio.default", {"endpoint": "http://h:9000"}, {"access_key": "a"})
    with pytest.raises(PermanentError, match=r"minio\.default has no endpoint"):
        open_store("minio.default", {}, KEYS)


def test_an_endpoint_must_be_a_url_and_its_password_is_not_shown() -> None:
    with pytest.raises(PermanentError, match="http") as caught:
        open_store("minio.x", {"endpoint": "user:hunter2@minio:9000"}, KEYS)
    assert "hunter2" not in str(caught.value)


def test_a_private_authority_must_exist(tmp_path: Path) -> None:
    settings = {"endpoint": "https://h", "verify": str(tmp_path / "no")}
    with pytest.raises(PermanentError, match="certificate"):
        open_store("minio.x", settings, KEYS)


def test_importing_storage_loads_no_client() -> None:
    code = "import bridge.storage, sys; sys.exit('obstore' in sys.modules or 'ssl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
