"""Recording the answers of a chat model, and replaying them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LangSmithParams, LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, message_to_dict, messages_from_dict
from langchain_core.outputs import ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

from guardgraph.models.identity import origin_of
from guardgraph.models.offline.offline_model import PROVIDER, OfflineModel, result_of
from guardgraph.state import BadInput

__all__ = ("RecordingModel", "ReplayModel", "record", "request_digest")

_QUIET = RunnableConfig(callbacks=[])
"""Callbacks see the call once, as one of the recording model."""
_WRITING = Lock()
"""Models with different bound tools may write to the same file."""


def request_digest(messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return 64 hexadecimal characters that identify a request: the messages and the bound tools.

    Random ids, metadata and settings such as `max_tokens` do not count.
    """
    contents = [
        {
            "type": message.type,
            "name": message.name,
            "content": message.content,
            "calls": [{"name": call["name"], "args": call["args"]} for call in getattr(message, "tool_calls", ())],
        }
        for message in messages
    ]
    request = {"messages": contents, "tools": list(tools)}
    return sha256(json.dumps(request, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


class ReplayModel(OfflineModel):
    """A chat model that answers from a file of recorded answers; a request that is not in it raises `BadInput`.

    The file is read once, at the first call. Of two answers to one request the later one counts.
    """

    file: Path
    """JSON lines, as `record` writes them."""
    model_name: str = "replay"
    """The name in its answers and in traces."""

    _answers: dict[str, AIMessage] | None = PrivateAttr(default=None)
    _lock: Lock = PrivateAttr(default_factory=Lock)

    def answer(self, messages: list[BaseMessage], options: Mapping[str, Any]) -> AIMessage:
        """Return the recorded answer to these messages and tools."""
        digest = request_digest(messages, options.get("tools") or ())
        with self._lock:
            if self._answers is None:
                self._answers = _read(self.file)
        message = self._answers.get(digest)
        if message is None:
            raise BadInput(f"no answer is recorded for {digest} in {str(self.file)!r}; record it with `record`")
        return message.model_copy()  # its caller gives it an id


class RecordingModel(BaseChatModel):
    """A chat model that passes every call on to another one and appends the answer to a file; see `record`."""

    model: Runnable[LanguageModelInput, AIMessage]
    """The model that answers, with its tools bound."""
    file: Path
    """The file of answers, one JSON line each."""
    tools: tuple[dict[str, Any], ...] = ()
    """The tools that are bound, in OpenAI's form."""
    origin: LangSmithParams = LangSmithParams()
    """Provider and name of the real model, for callbacks."""

    @property
    def _llm_type(self) -> str:
        return "recording"

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with `tools` to call; they are bound to the real model in its own form."""
        if not isinstance(self.model, BaseChatModel):
            raise BadInput("tools are bound already; bind them once, to the model that `record` returned")
        kwargs.pop("ls_structured_output_format", None)
        return RecordingModel(
            model=self.model.bind_tools(tools, tool_choice=tool_choice, **kwargs),
            file=self.file,
            tools=tuple(convert_to_openai_tool(tool) for tool in tools),
            origin=self.origin,
        )

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self.origin

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._keep(messages, self.model.invoke(messages, _QUIET, stop=stop, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._keep(messages, await self.model.ainvoke(messages, _QUIET, stop=stop, **kwargs))

    def _keep(self, messages: list[BaseMessage], message: AIMessage) -> ChatResult:
        row = {"digest": request_digest(messages, self.tools), "message": message_to_dict(message)}
        with _WRITING, self.file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
        return result_of(message)


def record(model: BaseChatModel, file: str | Path) -> RecordingModel:
    """Return a model that answers as `model` and appends every answer to `file`, for `offline:replay:FILE`.

    Structured output is requested by tool calls, since that is how the replay answers. The file contains prompts only
    as digests, answers in full.
    """
    return RecordingModel(model=model, file=Path(file), origin=origin_of(model))


def _read(file: Path) -> dict[str, AIMessage]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")  # `splitlines` would also cut at U+2028 in an answer
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read the recorded answers in {str(file)!r}: {error}") from error
    return dict(_row(file, number, line) for number, line in enumerate(lines, start=1) if line.strip())


def _row(file: Path, number: int, line: str) -> tuple[str, AIMessage]:
    """Return digest and answer of one line of the file, labelled as a replay."""
    try:
        row = json.loads(line)
        digest, (message,) = str(row["digest"]), messages_from_dict([row["message"]])
    except (ValueError, LookupError, TypeError) as error:
        raise BadInput(f"line {number} of {str(file)!r} is not a recorded answer: {error!r}") from error
    if not isinstance(message, AIMessage):
        raise BadInput(f"line {number} of {str(file)!r} holds a message of type {message.type!r}, not an answer")
    metadata = message.response_metadata
    recorded = {f"recorded_{name}": metadata.get(name) for name in ("model_provider", "model_name")}
    labels = {"provider": PROVIDER, "model_provider": PROVIDER, "model_name": "replay"}
    return digest, message.model_copy(update={"response_metadata": {**metadata, **recorded, **labels}})
