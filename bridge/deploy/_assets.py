"""File assets: which of them are in their bucket already, and how they get there."""

from __future__ import annotations

import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bridge.deploy._faults import asked
from bridge.deploy.model import AssetStep, FileAsset
from bridge.errors import AccessError, NotFoundError, PermanentError
from bridge.targets.aws.account import Account

__all__ = ["missing_assets", "send"]

_THREADS: Final = 8
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def missing_assets(account: Account, assets: Iterable[FileAsset]) -> Iterator[AssetStep]:
    """A step for each asset that is not there; keys are named by content, so that is enough."""
    wanted = list({(one.bucket, one.key): one for one in assets}.values())
    account.client("s3")
    with ThreadPoolExecutor(_THREADS) as pool:
        there = pool.map(lambda one: _exists(account, one), wanted)
        yield from (AssetStep(a) for a, found in zip(wanted, there, strict=True) if not found)


def _exists(account: Account, asset: FileAsset) -> bool:
    try:
        with asked(account, "s3", f"s3://{asset.bucket}/{asset.key}"):
            account.client("s3").head_object(Bucket=asset.bucket, Key=asset.key)
    except (NotFoundError, AccessError):
        # Without the right to list a bucket, S3 says `forbidden` of what is absent.
        return False
    return True


def send(account: Account, asset: FileAsset) -> None:
    """Put one asset into its bucket."""
    if not asset.source.exists():
        raise PermanentError(f"the assembly lacks {asset.source}")
    with _packed(asset) as path, asked(account, "s3", f"s3://{asset.bucket}/{asset.key}"):
        account.client("s3").upload_file(str(path), asset.bucket, asset.key)


@contextmanager
def _packed(asset: FileAsset) -> Iterator[Path]:
    """The file that is sent: the asset itself, or an archive of a folder."""
    if asset.packaging == "file" or asset.source.is_file():
        yield asset.source
        return
    with tempfile.TemporaryDirectory(prefix="oscar-bridge-") as folder:
        path = Path(folder) / "asset.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(one for one in asset.source.rglob("*") if one.is_file()):
                _add(archive, file, file.relative_to(asset.source).as_posix())
        yield path


def _add(archive: zipfile.ZipFile, file: Path, name: str) -> None:
    """Add a file without what differs from one machine to another, its rights kept."""
    mode = stat.S_IMODE(file.stat().st_mode)
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (stat.S_IFREG | mode) << 16
    archive.writestr(entry, file.read_bytes())
