"""What AWS itself would say of the templates: its resource schemas, and the deployer's policy."""

from __future__ import annotations

import fnmatch
import json
import subprocess
import sys
from pathlib import Path

from tests.cdk.assemblies import FACTS, Assembly, simple, synth
from tests.command import ROOT

POLICY = ROOT / "docs" / "deployer-policy.json"
HEAD = "functions:\n  aws:"
# How IAM calls the services of CloudFormation's types, where it is not the name in small letters.
PREFIXES = {"applicationautoscaling": "application-autoscaling"}


def lint(*assemblies: Assembly) -> str:
    found = [sorted(map(str, one.folder.glob("*.template.json"))) for one in assemblies]
    assert all(found)
    templates = [template for folder in found for template in folder]
    done = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--regions", FACTS.region, "--", *templates],
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def test_templates_keep_to_the_schemas_of_aws(scar: Assembly, tmp_path: Path) -> None:
    assert lint(scar, synth(HEAD + simple("one"), tmp_path)) == ""


def test_a_template_that_does_not_is_found(tmp_path: Path) -> None:
    broken = synth(HEAD + simple("one"), tmp_path)
    template = next(iter(sorted(broken.folder.glob("oscar-bridge-*.template.json"))))
    text = template.read_text()
    template.write_text(text.replace('"MemorySize"', '"MemorySizes"'))
    assert template.read_text() != text
    assert "MemorySizes" in lint(broken)


def test_the_documented_policy_allows_something_for_every_type(scar: Assembly) -> None:
    statements = json.loads(POLICY.read_text())["Statement"]
    actions = [
        action
        for one in statements
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    ]
    types = {
        resource["Type"]
        for path in scar.folder.glob("*.template.json")
        for resource in json.loads(path.read_text())["Resources"].values()
    }
    services = {kind.split("::")[1].lower() for kind in types if kind.startswith("AWS::")}
    assert services >= {"lambda", "batch", "iam", "sqs"}
    for service in services - {"cdk", "cloudformation"}:
        wanted = f"{PREFIXES.get(service, service)}:"
        assert any(fnmatch.fnmatch(action, f"{wanted}*") for action in actions), service
