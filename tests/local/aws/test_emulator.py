"""The private names of the emulator that we touch: a new version that lacks one fails here.

Each test runs in a process of its own, since importing the emulator reads the environment.
"""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import os
import subprocess
import sys
from pathlib import Path

import bridge.local.aws as package

FOLDER = Path(package.__file__).parent
CHECK = """
import importlib, inspect, json, sys
from bridge.local.aws.emulator import TOUCHED
for module, names in TOUCHED.items():
    found = importlib.import_module(module)
    for name in names:
        assert hasattr(found, name), f"{module}.{name} is gone"
from ministack.services import lambda_svc, eventbridge
def parameters(function):
    return [p for p in inspect.signature(function).parameters]
assert parameters(lambda_svc._execute_function_dispatch) == [
    "func", "config", "event", "request_id", "started"]
assert parameters(lambda_svc.invoke_async_with_retry) == ["func", "event"]
assert parameters(lambda_svc._pool_kill_function) == ["account", "func_name"]
assert parameters(lambda_svc._execution_record_for_config) == ["func", "config"]
assert parameters(lambda_svc._execute_function_with_config_scope) == ["func", "event"]
assert parameters(eventbridge._dispatch_to_lambda) == ["arn", "payload"]
assert parameters(eventbridge._dispatch_event)[0] == "event"
from ministack import app
assert {"batch", "lambda", "logs", "sqs", "sns", "events"} <= set(app.SERVICE_HANDLERS)
assert parameters(app.call_service_handler_sync)[:6] == [
    "handler", "method", "path", "headers", "body", "query_params"]
from ministack.services.cloudformation import provisioners
assert "delete" in provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
"""


def test_every_name_is_there_with_the_parameters_that_we_use(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "IOT_MTLS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, "-c", CHECK],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_version_is_the_one_that_was_read() -> None:
    assert importlib.metadata.version("ministack") == "1.5.33"


def test_the_list_of_touched_names_is_complete() -> None:
    tree = ast.parse((FOLDER / "emulator.py").read_text())
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ministack"):
            for name in node.names:
                aliases[name.asname or name.name] = f"{node.module}.{name.name}"
    used: set[tuple[str, str]] = set()
    touched: set[tuple[str, str]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = aliases.get(ast.unparse(node.value))
            used |= {(owner, node.attr)} if owner else set()
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "TOUCHED":
            assert node.value is not None
            listed = ast.literal_eval(node.value)
            touched = {(module, name) for module, names in listed.items() for name in names}
    assert used == touched


def test_no_other_module_imports_the_emulator() -> None:
    root = FOLDER.parent.parent
    for path in root.rglob("*.py"):
        if path != FOLDER / "emulator.py":
            for node in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                assert not any(name.split(".")[0] == "ministack" for name in names), path


def test_importing_the_package_costs_no_sdk() -> None:
    heavy = "[m for m in ('boto3', 'docker', 'ministack', 'hypercorn') if m in sys.modules]"
    code = f"import sys, {package.__name__}; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert inspect.isclass(package.AwsEndpoint)
