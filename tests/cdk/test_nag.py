"""cdk-nag finds nothing that is not justified in writing."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

from cdk import Facts
from tests.cdk.assemblies import (
    ACCOUNT,
    FACTS,
    SCAR,
    need_node,
    selection_of,
    settings_of,
    simple,
)

WITNESS = {"AwsSolutions-S1 Witness/Open", "AwsSolutions-S10 Witness/Open"}


def findings(text: str, facts: Facts, folder: Path) -> set[str]:
    """Names of AWS's rules that an assembly breaks, with the constructs."""
    need_node()
    from aws_cdk import Stack, Validations  # noqa: PLC0415  starts Node.js
    from aws_cdk import aws_s3 as s3  # noqa: PLC0415
    from cdk_nag import AwsSolutionsChecks  # noqa: PLC0415

    from cdk import build_app  # noqa: PLC0415

    app = build_app(selection_of(text), settings_of(), facts, {}, outdir=str(folder))
    # A witness that the rules are asked at all.
    s3.CfnBucket(Stack(app, "Witness"), "Open")
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    with contextlib.suppress(RuntimeError):
        app.synth()
    report = json.loads((folder / "validation-report.json").read_text())
    return {
        f"{found['ruleName']} {one['constructPath']}"
        for plugin in report["pluginReports"]
        for found in plugin["violations"]
        if found["severity"] == "error"
        for one in found["violatingConstructs"]
    }


def test_a_file_with_every_key(tmp_path: Path) -> None:
    facts = replace(FACTS, buckets={"pictures": "foreign"})
    assert findings(SCAR, facts, tmp_path) == WITNESS


def test_a_base_with_its_own_network(tmp_path: Path) -> None:
    text = "functions:\n  aws:" + simple("a", "batch")
    assert findings(text, Facts(ACCOUNT, "eu-west-1"), tmp_path) == WITNESS
