"""The only module that knows which emulator stands behind the endpoint, and touches its inside.

MiniStack (pinned) serves the AWS API. Its image functions and its Batch are replaced by ours; all
else that we ask of it goes through its handlers as if it came over HTTP. TOUCHED lists every name
of its that is used here, for the contract tests.

Import this only after `prepare_environment` has set what MiniStack reads when it is imported.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from ministack import app as gateway
from ministack.core import lambda_runtime, responses
from ministack.services import apigateway_v1, eventbridge, lambda_svc, s3, sqs, sts
from ministack.services.cloudformation import drift, provisioners, stacks

from bridge.errors import NotFoundError, PermanentError, TemporaryError
from bridge.local.aws._deliveries import delivery, json_request
from bridge.local.aws._ecr import EcrFault, LocalRegistry, stored_query
from bridge.local.aws._log_pages import filtered
from bridge.local.aws._notifications import ambiguous, unreachable
from bridge.local.aws._proxy import FAILED, is_answer
from bridge.local.aws._secrets import question, value
from bridge.local.aws._translation import (
    Response,
    decoded,
    disabled,
    error_response,
    function_of,
    new_image,
    plain,
    policy_of,
    result_of,
    split,
)
from bridge.local.aws.functions import (
    AsyncEvent,
    AsyncInvoker,
    Invocation,
    Pool,
    Reply,
    is_invocation,
    refusal,
)
from bridge.local.aws.model import LogEvent, Scope
from bridge.local.aws.stacks import REPLACING, Answer, Api, Question, mended

Json = dict[str, Any]
Handler = Callable[[str, str, Mapping[str, str], bytes, Mapping[str, Any]], Awaitable[Response]]
ResourceHandlers = Mapping[str, Mapping[str, Callable[..., Any]]]

TOUCHED: Final[Mapping[str, tuple[str, ...]]] = {
    "ministack.app": ("app", "SERVICE_HANDLERS", "call_service_handler_sync"),
    "ministack.core.lambda_runtime": ("execution_credentials",),
    "ministack.core.responses": ("get_account_id", "get_region", "request_scope"),
    "ministack.services.lambda_svc": (
        "_execute_function_dispatch",
        "_execute_function_with_config_scope",
        "_execution_record_for_config",
        "_get_func_record_for_ref",
        "_pool_kill_function",
        "execution_credentials",
        "function_policy_for_arn",
        "invoke_async_with_retry",
    ),
    "ministack.services.apigateway_v1": ("_lambda_proxy_response",),
    "ministack.services.eventbridge": ("_dispatch_event", "_dispatch_to_lambda", "_rules"),
    "ministack.services.s3": ("_invalid_notification_config", "_validate_notification_configs"),
    "ministack.services.sqs": ("_queue_by_arn",),
    "ministack.services.sts": ("_sessions",),
    "ministack.services.cloudformation.drift": ("_DRIFT_READERS",),
    "ministack.services.cloudformation.provisioners": (
        "_REPLACING_PROPERTIES",
        "_RESOURCE_HANDLERS",
    ),
    "ministack.services.cloudformation.stacks": ("_runs_on_worker_thread",),
}

_QUEUE_TYPE: Final = "AWS::SQS::Queue"
_NUMBER: Final = b"x-amzn-requestid"
_request_id: contextvars.ContextVar[str] = contextvars.ContextVar("bridge_request_id", default="")


def application() -> Any:
    """The ASGI application that serves the AWS API."""
    return _numbered


async def _numbered(scope: Any, receive: Any, send: Any) -> None:
    """Tell who invokes a function the number that the function and its log see."""
    if scope["type"] != "http" or not is_invocation(scope["method"], scope["path"]):
        await gateway.app(scope, receive, send)
        return
    number = str(uuid.uuid4())
    _request_id.set(number)  # of this request's own context

    async def told(message: Any) -> None:
        if message["type"] == "http.response.start":
            others = [one for one in message["headers"] if one[0].lower() != _NUMBER]
            message = {**message, "headers": [*others, (_NUMBER, number.encode())]}
        await send(message)

    await gateway.app(scope, receive, told)


def has_session(access_key: str) -> bool:
    """True for an access key that the emulator's STS gave out."""
    return access_key in sts._sessions


def current_scope() -> Scope:
    """Account and region of the request that is being served."""
    return Scope(responses.get_account_id(), responses.get_region())


class EmulatedCloud:
    """The other services, spoken to as if over HTTP. See `bridge.local.aws.model.Cloud`."""

    def put_logs(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent]) -> None:
        """See `Cloud.put_logs`."""
        place = {"logGroupName": group, "logStreamName": stream}
        body = {**place, "logEvents": [{"timestamp": at, "message": text} for at, text in events]}
        if _logs(scope, "PutLogEvents", body) == 200:
            return
        _logs(scope, "CreateLogGroup", {"logGroupName": group})
        _logs(scope, "CreateLogStream", place)
        _logs(scope, "PutLogEvents", body)

    def deliver(
        self, scope: Scope, target: str, body: str, attributes: Mapping[str, str] | None = None
    ) -> None:
        """See `Cloud.deliver`."""
        status, _, answer = _call(scope, *delivery(target, body, attributes or {}))
        if status >= 300:
            raise NotFoundError(f"{target} did not take a message: {answer.decode()[:300]}")

    def secret(self, scope: Scope, where: str) -> str:
        """See `Cloud.secret`."""
        service, target, query = question(where)
        status, _, answer = _json_call(scope, service, target, query)
        return value(where, status, answer)

    def put_event(
        self,
        scope: Scope,
        source: str,
        kind: str,
        resources: Sequence[str],
        detail: Mapping[str, Any],
    ) -> None:
        """See `Cloud.put_event`. Past the API, which refuses events of AWS itself."""
        with responses.request_scope(scope.account, scope.region):
            if not eventbridge._rules:
                return
            eventbridge._dispatch_event(
                {
                    "EventId": str(uuid.uuid4()),
                    "Source": source,
                    "DetailType": kind,
                    "Detail": json.dumps(detail),
                    "EventBusName": "default",
                    "Time": int(time.time()),
                    "Resources": list(resources),
                    "Account": scope.account,
                    "Region": scope.region,
                }
            )


def install_batch(handler: Handler, resources: ResourceHandlers) -> None:
    """Put our Batch in the place of the emulator's, in its API and in its CloudFormation."""
    gateway.SERVICE_HANDLERS["batch"] = handler
    provisioners._RESOURCE_HANDLERS.update(resources)


def install_stacks() -> None:
    """Let CloudFormation make, change and delete as AWS does. After all other installations."""
    made = mended(provisioners._RESOURCE_HANDLERS, Api(_ask), _is_taken)
    provisioners._RESOURCE_HANDLERS.update(made)
    provisioners._REPLACING_PROPERTIES.update(REPLACING)
    original = stacks._runs_on_worker_thread
    # Off the loop, which has to answer what they ask.
    stacks._runs_on_worker_thread = lambda kind: kind in made or original(kind)


def _ask(service: str, question: Question) -> Answer:
    handler = gateway.SERVICE_HANDLERS[service]
    answer: Answer = gateway.call_service_handler_sync(handler, *question)
    return answer


def _is_taken(kind: str, name: str) -> bool:
    scope = current_scope()
    if kind == _QUEUE_TYPE:
        return sqs._queue_by_arn(f"arn:aws:sqs:{scope.region}:{scope.account}:{name}") is not None
    return drift._DRIFT_READERS[kind][0](name, {}) is not None


def install_routes() -> None:
    """Let REST APIs refuse what is no answer of a proxy, without a word of why."""
    original = apigateway_v1._lambda_proxy_response

    def shaped(result: Json) -> tuple[Json | None, str | None]:
        if not result.get("throttle") and (
            result.get("error") or not is_answer(plain(result.get("body")))
        ):
            return None, FAILED
        answer: tuple[Json | None, str | None] = original(result)
        return answer

    apigateway_v1._lambda_proxy_response = shaped


def install_storage() -> None:
    """Refuse notifications that S3 refuses, however they are asked for."""
    original = s3._validate_notification_configs

    def validate(rules: Any, region: str, bucket: str = "", skip: bool = False) -> Any:
        if refused := original(rules, region, bucket, skip):
            return refused
        text = ambiguous(rules) or ("" if skip else unreachable(rules, _policy_of))
        return s3._invalid_notification_config(text) if text else None

    s3._validate_notification_configs = validate


def _policy_of(kind: str, arn: str) -> Json | None:
    if kind == "lambda":
        found = lambda_svc.function_policy_for_arn(arn)
        return found[0] if found else None
    queue = sqs._queue_by_arn(arn)
    text = queue["attributes"].get("Policy") if queue else None
    return json.loads(text) if text else None


def install_registry(registry: LocalRegistry) -> None:
    """Let ECR also show the images of this machine."""
    original: Handler = gateway.SERVICE_HANDLERS["ecr"]

    async def handle(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Response:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        if operation not in registry.operations:
            return await original(method, path, headers, body, query)
        wanted = json.loads(body or b"{}")
        asked, whole = stored_query(operation, wanted)
        target = {**headers, "x-amz-target": f"AmazonEC2ContainerRegistry_V20150921.{asked}"}
        status, _, found = await original(method, path, target, json.dumps(whole).encode(), {})
        stored = json.loads(found) if status == 200 else None
        scope = current_scope()
        try:
            answer = await asyncio.to_thread(registry.answer, operation, wanted, scope, stored)
        except EcrFault as fault:
            return error_response(fault.code, str(fault))
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(answer).encode()

    gateway.SERVICE_HANDLERS["ecr"] = handle


def install_logs() -> None:
    """Let FilterLogEvents give every page."""
    original: Handler = gateway.SERVICE_HANDLERS["logs"]

    async def handle(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Response:
        if not headers.get("x-amz-target", "").endswith(".FilterLogEvents"):
            return await original(method, path, headers, body, query)
        last: list[Response] = []

        async def ask(question: Json) -> Json:
            last.append(await original(method, path, headers, json.dumps(question).encode(), query))
            found: Json = json.loads(last[-1][2])
            return found

        try:
            answer = await filtered(json.loads(body or b"{}"), ask)
        except ValueError as error:
            return error_response("InvalidParameterException", str(error))
        status, answered, _ = last[-1]
        return status, answered, json.dumps(answer).encode() if status == 200 else last[-1][2]

    gateway.SERVICE_HANDLERS["logs"] = handle


def install_functions(
    pool: Pool, invoker: AsyncInvoker, check_image: Callable[[str], object]
) -> None:
    """Put our image functions and our asynchronous queue in the place of the emulator's."""
    _replace_dispatch(pool)
    _replace_retirement(pool)
    _replace_queue(invoker)
    gateway.SERVICE_HANDLERS["lambda"] = _checked(gateway.SERVICE_HANDLERS["lambda"], check_image)


def install_keys(keys: Mapping[str, str]) -> None:
    """Give zip functions these variables as their credentials; theirs are the account's id."""

    def credentials(_: Json) -> Json:
        return dict(keys)

    lambda_runtime.execution_credentials = credentials
    lambda_svc.execution_credentials = credentials


def _replace_dispatch(pool: Pool) -> None:
    original = lambda_svc._execute_function_dispatch

    def dispatch(func: Json, config: Json, event: Any, request_id: str, started: float) -> Any:
        number = _request_id.get() or request_id
        if config.get("PackageType") != "Image" or not config.get("ImageUri"):
            return original(func, config, event, number, started)
        payload = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        invocation = Invocation(number, payload, str(config["FunctionArn"]))
        return result_of(pool.invoke(function_of(config, current_scope()), invocation))

    lambda_svc._execute_function_dispatch = dispatch


def _replace_retirement(pool: Pool) -> None:
    original = lambda_svc._pool_kill_function

    def retire(account: str, name: str) -> None:
        pool.retire(Scope(account, responses.get_region()), name)
        original(account, name)

    lambda_svc._pool_kill_function = retire


def _replace_queue(invoker: AsyncInvoker) -> None:
    def accept(func: Json, event: Any) -> None:
        invoker.accept(_async_event(func.get("config") or func, func, event))

    def from_rule(arn: str, payload: str) -> None:
        func, config, _ = lambda_svc._get_func_record_for_ref(arn)
        if func and config:
            accept(lambda_svc._execution_record_for_config(func, config), decoded(payload))

    lambda_svc.invoke_async_with_retry = accept
    eventbridge._dispatch_to_lambda = from_rule


def _checked(original: Handler, check_image: Callable[[str], object]) -> Handler:
    async def handle(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Response:
        if refused := refusal(method, path, headers, body):
            return error_response(refused.code, refused.message, refused.status)
        if image := new_image(method, path, body):
            try:
                await asyncio.to_thread(check_image, image)
            except PermanentError as error:
                text = f"Source image {image} does not exist: {error.message}"
                return error_response("InvalidParameterValueException", text)
        return await original(method, path, headers, body, query)

    return handle


def _async_event(config: Json, func: Json, event: Any) -> AsyncEvent:
    scope = current_scope()
    reference = str(config["FunctionArn"])
    plain, qualifier = split(reference)
    request_id = _request_id.get() or str(uuid.uuid4())
    return AsyncEvent(
        scope=scope,
        arn=plain,
        version=config.get("Version") or "$LATEST",
        request_id=request_id,
        payload=event,
        policy=policy_of(config, func, qualifier),
        execute=lambda: _execute(scope, reference, event, request_id),
    )


def _execute(scope: Scope, reference: str, event: Any, request_id: str) -> Reply:
    """One attempt, with the function as it is configured now."""
    with responses.request_scope(scope.account, scope.region):
        func, config, name = lambda_svc._get_func_record_for_ref(reference)
        if not func or not config:
            gone = {"errorType": "ResourceNotFoundException", "errorMessage": f"{name} is gone"}
            return Reply(gone, "Unhandled")
        token = _request_id.set(request_id)
        try:
            record = lambda_svc._execution_record_for_config(func, config)
            result = lambda_svc._execute_function_with_config_scope(record, event)
        finally:
            _request_id.reset(token)
    if result.get("throttle"):
        return Reply(result.get("body"), "Unhandled", throttled=True, disabled=disabled(func))
    error = (result.get("function_error") or "Unhandled") if result.get("error") else ""
    return Reply(plain(result.get("body")), error)


def _call(
    scope: Scope, service: str, path: str, headers: Mapping[str, str], body: bytes
) -> Response:
    """A request to one of the emulator's services, past its front door; not from its own loop."""
    handler = gateway.SERVICE_HANDLERS[service]
    with responses.request_scope(scope.account, scope.region):
        answer: Response = gateway.call_service_handler_sync(
            handler, "POST", path, dict(headers), body, {}
        )
    return answer


def _json_call(scope: Scope, service: str, target: str, body: Mapping[str, Any]) -> Response:
    return _call(scope, *json_request(service, target, body))


def _logs(scope: Scope, action: str, body: Mapping[str, Any]) -> int:
    status, _, answer = _json_call(scope, "logs", f"Logs_20140328.{action}", body)
    if status >= 500:
        raise TemporaryError(f"the log service failed at {action}: {answer.decode()[:300]}")
    return status
