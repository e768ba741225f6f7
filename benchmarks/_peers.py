"""Programs of others that do the same, installed into a virtual environment that is thrown away."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks._measure import skipped

__all__ = ["install", "supervisor_environment"]

# It names a version of webdavclient3 that does not exist, so its needs are installed by hand.
SUPERVISOR = "faas-supervisor==1.5.8"
NEEDS = ("boto3", "pyyaml", "setuptools<80", "webdavclient3==3.14.6")
CLIENT = "awslambdaric==4.2.2"
HANDLER = """import os, subprocess
def handle(event, context):
    subprocess.run(["/bin/sh", os.environ["BRIDGE_SCRIPT_FILE"]], check=True)
    return {}
"""


def install(folder: Path) -> Path | None:
    """A Python that has the upstream supervisor and AWS's Lambda client; None when pip fails."""
    python = folder / "peers" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        for command in (
            [sys.executable, "-m", "venv", folder / "peers"],
            [*pip, *NEEDS, CLIENT],
            [*pip, "--no-deps", SUPERVISOR],
            [python, "-m", "compileall", "-q", folder / "peers"],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        skipped("upstream programs", f"pip: {error.stderr.strip()[-300:]}")
        return None
    (folder / "peer_handler.py").write_text(HANDLER)
    return python


def supervisor_environment(
    service: Mapping[str, object], keys: Mapping[str, str], endpoint: str, script: str
) -> dict[str, str]:
    """What the upstream supervisor needs for one of our services with a `minio` provider."""
    provider = {"endpoint": endpoint, "region": "us-east-1", "verify": False, **keys}
    config = {**service, "storage_providers": {"minio": {"default": provider}}}
    return {
        "FUNCTION_CONFIG": base64.b64encode(json.dumps(config).encode()).decode(),
        "SCRIPT": base64.b64encode(script.encode()).decode(),
    }
