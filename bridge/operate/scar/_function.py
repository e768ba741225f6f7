"""A function that SCAR deployed, read from AWS → FDL of ours."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from bridge.errors import NotFoundError, PermanentError
from bridge.operate.scar._file import from_plain
from bridge.operate.scar._old import Plain
from bridge.operate.scar._write import Imported, write
from bridge.targets.aws.account import Account, translated

__all__ = ["from_function"]

_MAKER: Final = ("createdby", "scar")
_VCPUS: Final = "VCPU"
_MEMORY: Final = "MEMORY"
_GPU: Final = "GPU"
_MOST_CODE: Final = 256 << 20
_MOST_SCRIPT: Final = 1 << 20
_BATCH_MODES: Final = ("batch", "lambda-batch")


def from_function(
    account: Account, name: str, *, folder: Path | None = None, reveal: bool = False
) -> Imported:
    """The FDL of a function with SCAR's tag, of what AWS knows and of the config that it carries.

    Its script is written into `folder` when the function's package has it. Only reads are made.
    NotFoundError when there is no such function, PermanentError when SCAR did not make it.
    """
    found = _function(account, name)
    notes: list[str] = []
    entry = _entry(account, found, notes)
    script = str(entry["lambda"].get("init_script") or "")
    if script:
        entry["lambda"]["init_script"] = PurePosixPath(script).name
        _fetch_script(found, script, folder, notes)
    made = from_plain({"functions": {"aws": [entry]}}, notes)
    return write(
        made, f"the function {name} in {account.region}", notes, folder=None, reveal=reveal
    )


def _function(account: Account, name: str) -> Mapping[str, Any]:
    with translated(f"function {name} in {account.region}"):
        found: Mapping[str, Any] = account.client("lambda").get_function(FunctionName=name)
    key, value = _MAKER
    if found.get("Tags", {}).get(key) != value:
        raise PermanentError(
            f"function {name} was not deployed by SCAR: it lacks the tag {key}={value}",
            hint="import-scar reads functions of SCAR, or the YAML files that they were made from",
        )
    return found


def _entry(account: Account, found: Mapping[str, Any], notes: list[str]) -> Plain:
    """One entry of `functions.aws`: the config that SCAR stored, with what AWS says over it."""
    configuration = found["Configuration"]
    name = str(configuration["FunctionName"])
    variables = dict(configuration.get("Environment", {}).get("Variables", {}))
    stored = _stored(variables.pop("FDL", ""), name, notes)
    function: Plain = {**stored, **_sizes(configuration), "name": name, "region": account.region}
    if variables:
        function["environment"] = {"Variables": variables}
    _name_image(function, found, variables)
    inputs = list(_inputs(account, configuration, notes))
    function["input"] = inputs or function.get("input") or []
    entry: Plain = {"lambda": function, "iam": {"role": configuration["Role"]}}
    if function.get("execution_mode") in _BATCH_MODES:
        stored_batch = dict(function.pop("batch", None) or {})
        entry["batch"] = stored_batch | _batch(account, name, notes)
    return entry


def _stored(text: str, name: str, notes: list[str]) -> Plain:
    """The config in the variable FDL: base64 of JSON or YAML of the function's section."""
    import yaml  # noqa: PLC0415  heavy

    if not text:
        notes.append(f"{name} carries no config (variable FDL): inputs come from its permissions")
        return {}
    try:
        stored = yaml.safe_load(base64.b64decode(text))
    except (ValueError, yaml.YAMLError):
        stored = None
    if not isinstance(stored, dict):
        notes.append(f"the config that {name} carries (variable FDL) cannot be read")
        return {}
    inner = stored.get("lambda")
    rest = {key: value for key, value in stored.items() if key != "lambda"}
    return {**inner, **rest} if isinstance(inner, dict) else stored


def _sizes(configuration: Mapping[str, Any]) -> Plain:
    made: Plain = {"memory": configuration["MemorySize"], "timeout": configuration["Timeout"]}
    if configuration.get("Description"):
        made["description"] = configuration["Description"]
    architectures = configuration.get("Architectures", ["x86_64"])
    if architectures != ["x86_64"]:
        made["architectures"] = list(architectures)
    vpc = configuration.get("VpcConfig") or {}
    if vpc.get("SubnetIds"):
        made["vpc"] = {key: list(vpc[key]) for key in ("SubnetIds", "SecurityGroupIds")}
    if configuration.get("FileSystemConfigs"):
        made["file_system"] = [dict(one) for one in configuration["FileSystemConfigs"]]
    storage = (configuration.get("EphemeralStorage") or {}).get("Size", 512)
    return made | ({"ephemeral_storage": storage} if storage != 512 else {})


def _name_image(function: Plain, found: Mapping[str, Any], variables: Mapping[str, str]) -> None:
    """The user's image: in the stored config, in SCAR's variable, or else the function's own."""
    container = function["container"] = dict(function.get("container") or {})
    known = container.get("image") or variables.get("IMAGE_ID")
    known = known or found.get("Code", {}).get("ImageUri")
    if known:
        container["image"] = known


def _inputs(
    account: Account, configuration: Mapping[str, Any], notes: list[str]
) -> Iterator[Plain]:
    """The folders of buckets whose notifications start the function."""
    arn = str(configuration["FunctionArn"])
    for bucket in _buckets(account, arn):
        for one in _notifications(account, bucket):
            if one["LambdaFunctionArn"] != arn:
                continue
            rules = one.get("Filter", {}).get("Key", {}).get("FilterRules", [])
            values = {rule["Name"].lower(): rule["Value"] for rule in rules}
            folder = values.get("prefix", "").strip("/")
            made: Plain = {"storage_provider": "s3", "path": f"{bucket}/{folder}".strip("/")}
            if values.get("suffix"):
                made["suffix"] = [values["suffix"]]
            notes.append(
                f"s3://{made['path']} still notifies the function: remove that notification when "
                "the service is deployed, or each object is processed twice"
            )
            yield made


def _buckets(account: Account, arn: str) -> list[str]:
    """The buckets that may call the function, by its resource policy."""
    try:
        with translated(f"policy of {arn}"):
            text = account.client("lambda").get_policy(FunctionName=arn)["Policy"]
    except NotFoundError:
        return []
    sources = []
    for statement in json.loads(text).get("Statement", []):
        condition = statement.get("Condition") or {}
        if statement.get("Principal") == {"Service": "s3.amazonaws.com"}:
            like = {**condition.get("ArnLike", {}), **condition.get("StringEquals", {})}
            source = next((str(v) for k, v in like.items() if k.lower() == "aws:sourcearn"), "")
            sources.append(source.rpartition(":")[2])
    return list(dict.fromkeys(bucket for bucket in sources if bucket))


def _notifications(account: Account, bucket: str) -> list[Mapping[str, Any]]:
    try:
        with translated(f"notifications of s3://{bucket}"):
            found = account.client("s3").get_bucket_notification_configuration(Bucket=bucket)
    except NotFoundError:
        return []
    rules: list[Mapping[str, Any]] = found.get("LambdaFunctionConfigurations", [])
    return rules


def _batch(account: Account, name: str, notes: list[str]) -> Plain:
    """The Batch side, all of whose parts have the function's name."""
    client = account.client("batch")
    with translated(f"job definition {name}"):
        definitions = client.describe_job_definitions(jobDefinitionName=name, status="ACTIVE")
    with translated(f"compute environment {name}"):
        environments = client.describe_compute_environments(computeEnvironments=[name])
    made: Plain = {}
    found = sorted(definitions["jobDefinitions"], key=lambda one: int(one["revision"]))
    if found:
        made |= _definition(found[-1])
    else:
        notes.append(f"{name} has no job definition in Batch, though its mode needs one")
    for environment in environments["computeEnvironments"][:1]:
        made["compute_resources"] = _compute(environment.get("computeResources") or {})
    return made


def _definition(found: Mapping[str, Any]) -> Plain:
    nodes = found.get("nodeProperties")
    container = found.get("containerProperties") or {}
    made: Plain = {}
    if nodes:
        made["multi_node_parallel"] = {
            "enabled": True,
            "number_nodes": nodes["numNodes"],
            "main_node_index": nodes["mainNode"],
        }
        container = nodes["nodeRangeProperties"][0].get("container") or {}
    needs = {one["type"]: one["value"] for one in container.get("resourceRequirements") or ()}
    vcpus, memory = container.get("vcpus"), container.get("memory")
    made["vcpus"] = float(needs[_VCPUS]) if _VCPUS in needs else vcpus or 1
    made["memory"] = int(needs[_MEMORY]) if _MEMORY in needs else memory or 1024
    if _GPU in needs:
        made["enable_gpu"] = True
    return made


def _compute(found: Mapping[str, Any]) -> Plain:
    named = {
        "type": "type",
        "minvCpus": "min_v_cpus",
        "maxvCpus": "max_v_cpus",
        "instanceTypes": "instance_types",
        "subnets": "subnets",
        "securityGroupIds": "security_group_ids",
        "instanceRole": "instance_role",
    }
    return {ours: found[theirs] for theirs, ours in named.items() if found.get(theirs)}


def _fetch_script(
    found: Mapping[str, Any], script: str, folder: Path | None, notes: list[str]
) -> None:
    """Put the script beside the FDL when the package is a zip; say where it is otherwise."""
    name = PurePosixPath(script).name
    if found["Configuration"].get("PackageType") == "Image":
        notes.append(f"{script} is in the function's image (/var/task): put it beside this file")
        return
    location = str(found.get("Code", {}).get("Location", ""))
    if folder is None or not location.startswith(("http://", "https://")):
        notes.append(f"{script} is in the function's package: put it beside this file (see -o)")
        return
    text = _from_package(location, name)
    if text is None:
        notes.append(f"{script} was not found in the function's package: put it beside this file")
    else:
        (folder / name).write_bytes(text)


def _from_package(location: str, name: str) -> bytes | None:
    """The script in the zip at a URL that AWS gave; None when it cannot be had."""
    from urllib.request import urlopen  # noqa: PLC0415  rarely needed

    try:
        with urlopen(location, timeout=60) as answer:  # noqa: S310  the scheme was looked at
            package = zipfile.ZipFile(io.BytesIO(answer.read(_MOST_CODE)))
        for info in package.infolist():
            if PurePosixPath(info.filename).name == name and info.file_size <= _MOST_SCRIPT:
                return package.read(info)
    except (OSError, zipfile.BadZipFile):
        return None
    return None
