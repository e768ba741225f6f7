"""The CDK app, run as a program of its own, so that neither Node nor jsii is in this process."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from bridge.deploy._faults import asked
from bridge.deploy._names import deployment_name
from bridge.deploy.assembly import read_assembly
from bridge.deploy.model import Assembly, Settings
from bridge.errors import MissingToolError, NotFoundError, PermanentError, UsageError
from bridge.fdl.model import Document, ProviderRef
from bridge.targets.aws.account import Account

__all__ = ["check_tools", "own_bucket", "synth"]

_BOOTSTRAP: Final = "/cdk-bootstrap/hnb659fds/version"
_QUIET: Final = {
    "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
    "JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION": "1",
    "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
    "CDK_DISABLE_CLI_TELEMETRY": "1",
}
_SAID: Final = 20


def own_bucket(account: Account) -> str:
    """The bucket of assets in an account that is not bootstrapped for the CDK."""
    return f"{account.settings.name}-assets-{account.id}-{account.region}"


@contextmanager
def synth(
    fdl: Path, document: Document, account: Account, settings: Settings
) -> Iterator[Assembly]:
    """The assembly of an FDL file, whose files are there as long as the block lasts.

    MissingToolError without Node or the CDK; UsageError for what the file asks for and stacks
    cannot have; PermanentError with what the app said when it fails.
    """
    check_tools()
    name = deployment_name(fdl, settings.name)
    assets = "bootstrap" if _bootstrapped(account) else "own"
    with tempfile.TemporaryDirectory(prefix="oscar-bridge-assembly-") as folder:
        context = {
            "fdl": str(fdl.resolve()),
            "name": name,
            "prefix": account.settings.name,
            "assets": assets,
        }
        minio = document.providers.get(ProviderRef("minio"))
        if minio is not None and minio.place is None and minio.settings:
            context["minio"] = json.dumps(dict(minio.settings))
        more = {"images": settings.images, "policy": settings.policy, "stacks": settings.stacks}
        context |= {key: str(value) for key, value in more.items() if value}
        _run(Path(folder), context, account)
        made = read_assembly(
            Path(folder),
            name=name,
            base=account.settings.name,
            account=account.id,
            region=account.region,
            partition=account.client("sts").meta.partition,
        )
        yield replace(
            made,
            own_assets=own_bucket(account) if assets == "own" else "",
            document=document,
            images=settings.images,
        )


def check_tools() -> None:
    """MissingToolError when the CDK app cannot run on this machine."""
    if shutil.which("node") is None:
        raise MissingToolError(
            "the CDK app needs Node.js, which is not on PATH", hint="install Node.js 22 or newer"
        )
    for package in ("aws_cdk", "cdk"):
        if importlib.util.find_spec(package) is None:
            raise MissingToolError(
                f"the Python package {package} is not installed",
                hint="pip install 'oscar-bridge[deploy]'",
            )


def _bootstrapped(account: Account) -> bool:
    try:
        with asked(account, "ssm", f"parameter {_BOOTSTRAP}"):
            account.client("ssm").get_parameter(Name=_BOOTSTRAP)
    except NotFoundError:
        return False
    return True


def _run(folder: Path, context: Mapping[str, str], account: Account) -> None:
    done = subprocess.run(
        # -P: a folder `cdk` where the user stands is not the app.
        [sys.executable, "-P", "-m", "cdk"],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=_environment(folder, context, account),
    )
    if done.returncode == 0:
        return
    said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_SAID:])
    if done.returncode == UsageError.exit_status:
        raise UsageError(said or "the CDK app refuses the file")
    if done.returncode == MissingToolError.exit_status:
        raise MissingToolError(said or "the CDK app lacks a tool")
    raise PermanentError(f"the CDK app ended with {done.returncode}: {said or 'it said nothing'}")


def _environment(folder: Path, context: Mapping[str, str], account: Account) -> dict[str, str]:
    settings = account.settings
    given = {
        "AWS_PROFILE": settings.profile,
        "AWS_ENDPOINT_URL": settings.endpoint,
        **{key.upper(): value for key, value in settings.credentials.items()},
    }
    return {
        **os.environ,
        **_QUIET,
        **{key: value for key, value in given.items() if value},
        "AWS_REGION": account.region,
        "AWS_DEFAULT_REGION": account.region,
        "CDK_DEFAULT_ACCOUNT": account.id,
        "CDK_DEFAULT_REGION": account.region,
        "CDK_OUTDIR": str(folder),
        "CDK_CONTEXT_JSON": json.dumps(context),
    }
