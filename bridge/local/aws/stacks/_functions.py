"""AWS::Lambda::Function and AWS::Lambda::EventSourceMapping over Lambda's own API."""

from __future__ import annotations

import base64
import io
import secrets
import zipfile
from typing import Any, Final

from bridge.local.aws.stacks._api import Api, Json

_FUNCTIONS: Final = "/2015-03-31/functions"
_MAPPINGS: Final = "/2015-03-31/event-source-mappings"
_CONCURRENCY: Final = "ReservedConcurrentExecutions"
_NAME_LENGTH: Final = 64
_SUFFIX_LENGTH: Final = 13
# What a property goes back to when a template no longer says it.
_DEFAULTS: Final[Json] = {
    "Description": "",
    "Timeout": 3,
    "MemorySize": 128,
    "Environment": {"Variables": {}},
    "EphemeralStorage": {"Size": 512},
    "Layers": [],
    "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []},
    "FileSystemConfigs": [],
    "DeadLetterConfig": {"TargetArn": ""},
    "TracingConfig": {"Mode": "PassThrough"},
}
_CONFIGURED: Final = ("Role", "Handler", "Runtime", "ImageConfig", "LoggingConfig", *_DEFAULTS)
# What Lambda never changes, or what is set by a request of its own.
_FIXED: Final = ("EventSourceArn", "StartingPosition", "StartingPositionTimestamp", "Tags")


class Functions:
    """Create, update and delete of functions."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(self, logical_id: str, properties: Json, stack: str) -> tuple[str, Json]:
        """CreateFunction, with its checks, and the reserved concurrency."""
        name = str(properties.get("FunctionName") or _generated(stack, logical_id))
        body = {key: value for key, value in properties.items() if key != _CONCURRENCY}
        body |= {"FunctionName": name, "Code": self._code(properties), "Tags": _tags(properties)}
        if "Environment" in body:
            body["Environment"] = _texts(body["Environment"])
        made = self._api.rest("lambda", "POST", _FUNCTIONS, body)
        try:
            self._reserve(name, properties, {})
        except ValueError:
            self.delete(name, properties)
            raise
        return name, {"Arn": made["FunctionArn"]}

    def update(self, name: str, old: Json, new: Json, *_: Any) -> tuple[str, Json]:
        """UpdateFunctionConfiguration with everything, then the code when it is another."""
        path = f"{_FUNCTIONS}/{name}"
        body: Json = {key: new.get(key, _DEFAULTS.get(key)) for key in _CONFIGURED}
        body = {key: value for key, value in body.items() if value is not None}
        body["Environment"] = _texts(body["Environment"])
        made = self._api.rest("lambda", "PUT", f"{path}/configuration", body)
        if new.get("Code") != old.get("Code") or _architecture(new) != _architecture(old):
            code = self._code(new) | {"Architectures": _architecture(new)}
            self._api.rest("lambda", "PUT", f"{path}/code", code)
        self._reserve(name, new, old)
        self._retag(str(made["FunctionArn"]), _tags(old), _tags(new))
        return name, {"Arn": made["FunctionArn"]}

    def delete(self, name: str, _: Json, *__: Any) -> None:
        """DeleteFunction; nothing when it is gone."""
        self._api.rest("lambda", "DELETE", f"{_FUNCTIONS}/{name}", absent=True)

    def _code(self, properties: Json) -> Json:
        code = dict(properties.get("Code") or {})
        if "ZipFile" in code:
            return {"ZipFile": _packed(str(code["ZipFile"]), str(properties.get("Runtime", "")))}
        if "S3Key" in code and not self._api.has_object(code["S3Bucket"], code["S3Key"]):
            where = f"s3://{code['S3Bucket']}/{code['S3Key']}"
            raise ValueError(f"Error occurred while GetObject. {where} does not exist (NoSuchKey)")
        return code

    def _reserve(self, name: str, new: Json, old: Json) -> None:
        path = f"/2017-10-31/functions/{name}/concurrency"
        if _CONCURRENCY in new:
            self._api.rest("lambda", "PUT", path, {_CONCURRENCY: int(new[_CONCURRENCY])})
        elif _CONCURRENCY in old:
            self._api.rest("lambda", "DELETE", path)

    def _retag(self, arn: str, old: dict[str, str], new: dict[str, str]) -> None:
        if old == new:
            return
        path = f"/2017-03-31/tags/{arn}"
        if gone := sorted(old.keys() - new.keys()):
            self._api.rest("lambda", "DELETE", path, query={"tagKeys": gone})
        if new:
            self._api.rest("lambda", "POST", path, {"Tags": new})


class Mappings:
    """Create, update and delete of event source mappings."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(self, _: str, properties: Json, __: str) -> tuple[str, Json]:
        """CreateEventSourceMapping; its function must be there."""
        self._need_function(properties)
        body = properties | {"Tags": _tags(properties)}
        made = self._api.rest("lambda", "POST", f"{_MAPPINGS}/", body)
        return _mapping(made)

    def update(self, number: str, _: Json, new: Json, *__: Any) -> tuple[str, Json]:
        """UpdateEventSourceMapping."""
        self._need_function(new)
        body = {key: value for key, value in new.items() if key not in _FIXED}
        return _mapping(self._api.rest("lambda", "PUT", f"{_MAPPINGS}/{number}", body))

    def delete(self, number: str, _: Json, *__: Any) -> None:
        """DeleteEventSourceMapping; nothing when it is gone."""
        self._api.rest("lambda", "DELETE", f"{_MAPPINGS}/{number}", absent=True)

    def _need_function(self, properties: Json) -> None:
        self._api.rest("lambda", "GET", f"{_FUNCTIONS}/{properties.get('FunctionName')}")


def _mapping(made: Json) -> tuple[str, Json]:
    number = str(made["UUID"])
    return number, {"Id": number, "EventSourceMappingArn": made.get("EventSourceMappingArn", "")}


def _generated(stack: str, logical_id: str) -> str:
    kept = f"{stack}-{logical_id}"[: _NAME_LENGTH - _SUFFIX_LENGTH]
    return f"{kept}-{secrets.token_hex(6)}"


def _architecture(properties: Json) -> list[str]:
    return list(properties.get("Architectures") or ["x86_64"])


def _texts(environment: Json) -> Json:
    """Variables as CloudFormation hands them on: text, whatever the template has."""
    variables = environment.get("Variables") or {}
    return {"Variables": {name: _text(value) for name, value in variables.items()}}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _packed(source: str, runtime: str) -> str:
    """Code that stands in the template: one file called index."""
    name = "index.js" if runtime.startswith("nodejs") else "index.py"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, source)
    return base64.b64encode(out.getvalue()).decode()


def _tags(properties: Json) -> dict[str, str]:
    return {str(one["Key"]): str(one["Value"]) for one in properties.get("Tags") or ()}
