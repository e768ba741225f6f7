"""FDL texts, and what the CDK makes of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bridge.fdl import load, parse
from bridge.fdl.model import Document
from cdk import Facts, Selection, Settings, select

# Before anything starts the CDK's kernel. cfn-lint checks the templates (test_lint.py).
os.environ["CDK_VALIDATION"] = "false"
os.environ["JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"] = ",".join(map(str, range(18, 40)))

ACCOUNT = "111122223333"
FACTS = Facts(
    ACCOUNT, "eu-west-1", vpc="vpc-000000a1", subnets=("subnet-000000a1", "subnet-000000a2")
)
SECRET = "very-Secret-value-7"

# Every section and nearly every key that SCAR knows.
SCAR = f"""
functions:
  aws:
  - lambda:
      name: all-keys
      region: eu-west-1
      boto_profile: default
      memory: 2048
      timeout: 200
      runtime: python3.7
      architectures: [x86_64]
      description: Looks at pictures
      execution_mode: lambda-batch
      layers: ['arn:aws:lambda:eu-west-1:111122223333:layer:old:1']
      log_level: debug
      init_script: script.sh
      extra_payload: more
      preheat: true
      invocation_type: Event
      asynchronous: true
      log_type: None
      environment:
        Variables: {{FUNCTION_ONLY: 'yes'}}
      vpc: {{SubnetIds: [subnet-00000009], SecurityGroupIds: [sg-00000009]}}
      file_system:
      - Arn: arn:aws:elasticfilesystem:eu-west-1:111122223333:access-point/fsap-0123456789abcdef0
        LocalMountPath: /mnt/data
      deployment: {{bucket: zips}}
      container:
        image: ghcr.io/example/all:1
        timeout_threshold: 20
        environment:
          Variables: {{WORDS: '3'}}
          secrets: {{TOKEN: {SECRET}}}
      input:
      - storage_provider: s3.mine
        path: pictures/in
        prefix: [a, b]
        suffix: [.png, .jpg]
      - storage_provider: s3
        path: more
      output:
      - storage_provider: s3
        path: results/out
        suffix: [.txt]
      - storage_provider: minio.lab
        path: lab/out
      supervisor: {{version: 1.5.0}}
      ephemeral_storage: 2048
      reserved_concurrency: 7
      retries: 1
    iam: {{boto_profile: default}}
    api_gateway: {{name: all-keys-api}}
    cloudwatch: {{log_retention_policy_in_days: 14}}
    ecr: {{delete_image: false}}
    batch:
      vcpus: 4
      memory: 8192
      enable_gpu: true
      environment:
        Variables: {{BATCH_ONLY: 'yes'}}
      multi_node_parallel: {{enabled: true, number_nodes: 3, main_node_index: 1}}
      compute_resources:
        type: SPOT
        min_v_cpus: 0
        desired_v_cpus: 2
        max_v_cpus: 32
        instance_types: [g5.xlarge]
        subnets: [subnet-00000007]
        security_group_ids: [sg-00000007]
        instance_role: arn:aws:iam::111122223333:instance-profile/mine
        launch_template_name: mine
      service_role: arn:aws:iam::111122223333:role/batch
      timeout: 2h
  - lambda:
      name: given-role
      container: {{image: example/given}}
    iam: {{role: 'arn:aws:iam::111122223333:role/given'}}
storage_providers:
  s3:
    mine: {{region: eu-west-1}}
  minio:
    lab: {{endpoint: 'https://minio.example.org', access_key: lab, secret_key: {SECRET}}}
"""


def simple(name: str, mode: str = "lambda", more: str = "") -> str:
    """One service, as an item of functions.aws."""
    return f"""
  - lambda:
      name: {name}
      execution_mode: {mode}
      init_script: script.sh
      container: {{image: example/image}}
      input: [{{storage_provider: s3, path: {name}-bucket/in}}]
      output: [{{storage_provider: s3, path: {name}-bucket/out}}]
{more}"""


def document_of(text: str) -> Document:
    return parse(text, file="made-up.yaml", read_script=lambda _: "echo hello\n")


def settings_of(**context: object) -> Settings:
    return Settings.read({"fdl": "made-up.yaml", "images": "as-is", **context})


def selection_of(text: str | Path, policy: str = "") -> Selection:
    document = load(text) if isinstance(text, Path) else document_of(text)
    return select(document, FACTS.region, policy)


class Assembly:
    """A synthesised assembly: the templates by stack, and everything that was written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.templates = {
            path.name.removesuffix(".template.json"): json.loads(path.read_text())
            for path in sorted(folder.glob("*.template.json"))
        }

    def resources(self, stack: str, kind: str) -> list[dict[str, Any]]:
        found = self.templates[stack]["Resources"].values()
        return [one for one in found if one["Type"] == kind]

    def one(self, stack: str, kind: str) -> dict[str, Any]:
        found = self.resources(stack, kind)
        assert len(found) == 1, f"{len(found)} of {kind} in {stack}"
        properties: dict[str, Any] = found[0]["Properties"]
        return properties

    def named(self, stack: str, kind: str, key: str, name: str) -> dict[str, Any]:
        found = [one["Properties"] for one in self.resources(stack, kind)]
        return next(one for one in found if one.get(key) == name)

    def texts(self) -> Iterator[tuple[str, str]]:
        for path in self.folder.rglob("*"):
            if path.is_file() and path.suffix in (".json", ".py", ".toml"):
                yield path.name, path.read_text(encoding="utf-8")


def need_node() -> None:
    """Skip what makes constructs: the CDK's library runs on Node.js."""
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")


def synth(
    text: str | Path, folder: Path, facts: Facts = FACTS, *, policy: str = "", **context: object
) -> Assembly:
    """Synthesise in this process."""
    need_node()
    from cdk import build_app  # noqa: PLC0415  takes seconds, and is not for every test here

    app = build_app(
        selection_of(text, policy), settings_of(**context), facts, {}, outdir=str(folder)
    )
    app.synth()
    return Assembly(folder)


def statements(policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = policy["Statement"]
    return found


def allowed(role: Mapping[str, Any], action: str) -> list[str]:
    """The resources on which a role may do something."""
    found: list[str] = []
    for policy in role["Policies"]:
        for one in statements(policy["PolicyDocument"]):
            if action in one["Action"]:
                found += one["Resource"]
    return found
