"""The same application as an AWS Lambda function: events of an HTTP API come from Lambda's runtime API, one at a time.

Formats: payload format 2.0 of API Gateway's HTTP APIs; version 2018-06-01 of the runtime API.
"""

import asyncio
import base64
import binascii
import gc
import json
import logging
import os
import time
from asyncio import Future
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple

import uvloop

from v2serve.artifact import ArtifactError
from v2serve.fetch import FetchError
from v2serve.observe.observer import Observer
from v2serve.serve import StartError, application
from v2serve.settings import Settings
from v2serve.wire.exchange import Answer, Application, Request
from v2serve.wire.hub import INTERNAL
from v2serve.wire.target import read_target

ADDRESS = "AWS_LAMBDA_RUNTIME_API"
LARGEST = 6 << 20  # bytes of an event or an answer, as Lambda carries them: with base64 and its JSON
_ROOT = "/2018-06-01/runtime"
_TEXT = ("application/json", "text/")
_log = logging.getLogger("v2serve")


class EventError(ValueError):
    """What came is no HTTP request, so that nobody can be answered; the message is one line."""


class Invocation(NamedTuple):
    id: str
    event: bytes


class RuntimeApi:
    """Lambda's side of a function, on one connection; raises OSError or HTTPException where it does not answer."""

    def __init__(self, address: str) -> None:
        self._connection = HTTPConnection(address)

    def next(self) -> Invocation:
        """Blocks until somebody calls; Lambda freezes the process meanwhile."""
        headers, body = self._ask("GET", "/invocation/next")
        return Invocation(headers["lambda-runtime-aws-request-id"], body)

    def answer(self, invocation: Invocation, response: bytes) -> None:
        self._ask("POST", f"/invocation/{invocation.id}/response", response)

    def fail(self, invocation: Invocation, error: Exception) -> None:
        self._failed(f"/invocation/{invocation.id}/error", error)

    def fail_to_start(self, error: Exception) -> None:
        self._failed("/init/error", error)

    def _failed(self, path: str, error: Exception) -> None:
        kind = type(error).__name__
        told = {"errorMessage": str(error), "errorType": kind, "stackTrace": []}
        headers = {"Lambda-Runtime-Function-Error-Type": f"V2serve.{kind}"}
        self._ask("POST", path, json.dumps(told).encode(), headers)

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[dict[str, str], bytes]:
        self._connection.request(method, _ROOT + path, body, dict(headers or {}))
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise HTTPException(f"{method} {path}: {answer.status} {content[:200]!r}")
        return {name.lower(): value for name, value in answer.getheaders()}, content


def serve(settings: Settings, environment: Mapping[str, str] = os.environ) -> None:
    """Answer invocations until the process ends; raises StartError, ArtifactError or FetchError before the first."""
    address = environment.get(ADDRESS)
    if not address:
        raise StartError(f"{ADDRESS} is not set; Lambda sets it, elsewhere run `python -m v2serve serve`")
    runtime, observer = RuntimeApi(address), Observer(environment, settings.access_log)
    try:
        app = application(settings, observer)
    except (StartError, ArtifactError, FetchError) as error:
        runtime.fail_to_start(error)
        raise
    gc.collect()
    gc.freeze()  # what is loaded stays; the collector need not visit it again
    function = Function(app, settings.max_body_bytes)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        while True:
            invocation = runtime.next()
            try:
                runtime.answer(invocation, runner.run(function.response(invocation.event)))
            except EventError as error:
                runtime.fail(invocation, error)
            observer.fold()


class Function:
    """One application, asked by events instead of by connections."""

    def __init__(self, app: Application, body_bytes: int) -> None:
        self._app = app
        self._body_bytes = body_bytes

    async def response(self, event: bytes) -> bytes:
        """The answer as API Gateway takes it; raises EventError for an event of something else."""
        told = _event(event)
        try:
            request = _request(told)
        except ValueError as error:
            return _response(self._app.refuse(None, 400, str(error)))
        response = _response(await self._answer(request, told))
        if len(response) <= LARGEST:
            return response
        text = f"the answer is larger than the {LARGEST >> 20} MiB that Lambda carries; ask for fewer rows at once"
        return _response(self._app.refuse(request, 413, text))

    async def _answer(self, request: Request, told: Mapping[str, Any]) -> Answer:
        app = self._app
        try:
            refusal = app.admit(request)
            if refusal is not None:
                return refusal
            answer = await self._asked(request, told)
        except Exception:
            _log.exception("%s %s failed", request.method, request.path)
            answer = app.refuse(request, 500, INTERNAL)
        app.answered(request, answer)
        return answer

    async def _asked(self, request: Request, told: Mapping[str, Any]) -> Answer:
        try:
            request.body = _body(told)
        except ValueError as error:
            return self._app.refuse(request, 400, str(error))
        if len(request.body) > self._body_bytes:
            text = (
                f"the body has {len(request.body)} bytes, and {self._body_bytes} are taken; send less at once"
            )
            return self._app.refuse(request, 413, text)
        (made,) = self._app.answers([request])
        return await made if isinstance(made, Future) else made


def _event(event: bytes) -> dict[str, Any]:
    try:
        told = json.loads(event)
    except (ValueError, RecursionError):
        raise EventError("the event is not JSON; call this function through an HTTP API") from None
    if not isinstance(told, dict) or told.get("version") != "2.0" or not isinstance(_http(told), dict):
        raise EventError(
            "the event is not one of an HTTP API in payload format 2.0; set it in the integration"
        )
    return told


def _http(told: Mapping[str, Any]) -> Any:
    context = told.get("requestContext")
    return context.get("http") if isinstance(context, dict) else None


def _request(told: Mapping[str, Any]) -> Request:
    """Raises ValueError for a path that is none."""
    path, _ = read_target(str(told.get("rawPath") or "/").encode())
    given = told.get("headers")
    headers = (
        {str(name).lower(): str(value) for name, value in given.items()} if isinstance(given, dict) else {}
    )
    query = str(told.get("rawQueryString") or "")
    return Request(str(_http(told).get("method")), path, query, headers, time.perf_counter(), "1.1")


def _body(told: Mapping[str, Any]) -> bytes:
    body = told.get("body") or ""
    if not isinstance(body, str):
        raise ValueError("the event's body is not text; send bytes in base64")
    if not told.get("isBase64Encoded"):
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise ValueError("the event's body is not base64, though it says so") from None


def _response(answer: Answer) -> bytes:
    """JSON as it is, and in base64 what is compressed or binary."""
    headers: dict[str, str] = {}
    for name, value in answer.headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    plain = headers.get("content-type", "").startswith(_TEXT) and "content-encoding" not in headers
    body = bytes(answer.body).decode() if plain else base64.b64encode(answer.body).decode()
    told = {"statusCode": answer.status, "headers": headers, "body": body, "isBase64Encoded": not plain}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
