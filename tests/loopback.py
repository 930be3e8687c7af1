"""A server on this machine that speaks enough of OpenAI's protocol for its real client, and answers as scripted."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Any, NamedTuple


class Received(NamedTuple):
    """One request that came in."""

    path: str
    headers: dict[str, str]
    """By lower-case names."""
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Response:
    """One scripted response; make it with the functions below."""

    message: dict[str, Any] | None = None
    """The assistant's message."""
    finish_reason: str = "stop"
    status: int = 200
    error: str = ""
    is_cut: bool = False
    """Whether the connection is reset in the middle of the body."""
    input_tokens: int = 11
    output_tokens: int = 7
    headers: dict[str, str] = field(default_factory=dict[str, str])


Script = Response | Callable[[dict[str, Any]], Response]
"""A response, or a function of the request's body that returns one."""


def text(content: str, *, input_tokens: int = 11, output_tokens: int = 7) -> Response:
    """Answer with a text."""
    return Response({"role": "assistant", "content": content}, input_tokens=input_tokens, output_tokens=output_tokens)


def tool_call(name: str, arguments: dict[str, Any] | str) -> Response:
    """Answer with one tool call; `arguments` as a text are sent as they are, so they may be broken JSON."""
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": written}}
    return Response({"role": "assistant", "content": None, "tool_calls": [call]}, finish_reason="tool_calls")


def malformed_tool_call(name: str) -> Response:
    """Answer with a tool call whose arguments are broken JSON."""
    return tool_call(name, '{"value": "unfinished')


def too_many_requests(**headers: str) -> Response:
    """Answer 429, by default with `Retry-After: 0`; `Retry_After` is `Retry-After`."""
    given = {name.replace("_", "-"): value for name, value in headers.items()} or {"Retry-After": "0"}
    return Response(status=429, error="rate limit reached", headers=given)


def server_error() -> Response:
    """Answer 500."""
    return Response(status=500, error="the server is ill")


def cut_connection() -> Response:
    """Begin a good answer, then reset the connection in the middle of its body."""
    return Response({"role": "assistant", "content": "half of an ans"}, is_cut=True)


class OpenAIServer:
    """Serve scripted chat completions on 127.0.0.1; streams them (server-sent events) when the client asks for it.

    A single function in place of the list answers every request. A script that has run out answers 500.
    """

    def __init__(self, script: Sequence[Script] | Callable[[dict[str, Any]], Response]) -> None:
        self.requests: list[Received] = []
        self._script, self._lock = script, Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        """The base URL, as `OPENAI_BASE_URL` wants it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> OpenAIServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, received: Received) -> Response:
        """Note a request and return what the script says to it."""
        with self._lock:
            place = len(self.requests)
            self.requests.append(received)
        if callable(self._script):
            return self._script(received.body)
        if place >= len(self._script):
            return Response(status=500, error=f"the script has {len(self._script)} responses")
        scripted = self._script[place]
        return scripted(received.body) if callable(scripted) else scripted


def _unfit_schema(body: dict[str, Any]) -> str:
    """Return why OpenAI refuses the strict schema of a request: strict objects have a fixed list of properties."""
    given = [(body.get("response_format") or {}).get("json_schema") or {}]
    given += [tool["function"] for tool in body.get("tools") or ()]
    for one in given:
        schema = one.get("schema") or one.get("parameters")
        if one.get("strict") and not all(map(_is_strict, _objects(schema))):
            return f"Invalid schema for {one['name']!r}: 'additionalProperties' has to be supplied and to be false."
    return ""


def _is_strict(schema: dict[str, Any]) -> bool:
    return schema.get("additionalProperties") is False and {*schema.get("properties", ())} == {
        *schema.get("required", ())
    }


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from _objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _objects(value)


def _handler(server: OpenAIServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            problem = _unfit_schema(body)
            response = Response(status=400, error=problem) if problem else server.answer(received)
            if response.error:
                kind = "rate_limit_error" if response.status == 429 else "server_error"
                self._send(json.dumps({"error": {"message": response.error, "type": kind}}).encode(), response)
            elif body.get("stream"):
                lines = [f"data: {json.dumps(event)}\n\n" for event in _events(response, body)]
                self._send("".join([*lines, "data: [DONE]\n\n"]).encode(), response, kind="text/event-stream")
            else:
                self._send(json.dumps(_completion(response, body)).encode(), response)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def _send(self, data: bytes, response: Response, *, kind: str = "application/json") -> None:
            self.send_response(response.status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if response.is_cut:
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.wfile.write(data)

    return Handler


def _usage(response: Response) -> dict[str, int]:
    read, written = response.input_tokens, response.output_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _completion(response: Response, body: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "message": response.message, "finish_reason": response.finish_reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": body.get("model", ""),
        "choices": [choice],
        "usage": _usage(response),
    }


def _events(response: Response, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": body.get("model", "")}
    for delta in _deltas(response.message or {}):
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": response.finish_reason}]}
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": _usage(response)}


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    content = message.get("content") or ""
    for start in range(0, len(content), 5):
        yield {"content": content[start : start + 5]}
    for index, call in enumerate(message.get("tool_calls") or ()):
        yield {"tool_calls": [{"index": index, **call}]}
