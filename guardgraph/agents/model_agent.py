"""A chat model as an agent: alone, or with tools.

LangChain's chat models are loaded here, so only `model_calls` imports this module, and only for an agent with a model.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, cast

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSequence
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field, ValidationError, create_model

from guardgraph.agents.adapters import ModelCalls, runnable_calls
from guardgraph.agents.agent import Agent
from guardgraph.agents.call_settings import output_option
from guardgraph.agents.model_choice import chosen_model
from guardgraph.agents.prompt import human_message, messages_input
from guardgraph.agents.results import InvalidAnswer, last_text, messages_output, with_events
from guardgraph.models.identity import origin_of
from guardgraph.models.resolve import resolve_model
from guardgraph.runtime.budget.callback_handler import CallReservation
from guardgraph.runtime.budget.downgraded import Downgraded
from guardgraph.runtime.budget.prompt_tokens import prompt_tokens
from guardgraph.runtime.execution_context import execution_context
from guardgraph.runtime.rates.repeating import arepeated, repeated
from guardgraph.state import Evidence, MissingExtra, Reply, Request, error_text, validation_text

__all__ = ("calls_of",)

_TYPING = frozenset({"type", "$ref", "anyOf", "allOf", "oneOf", "enum", "const"})
"""The keywords of a JSON schema that restrict a value."""
_UNREADABLE = (OutputParserException, ValidationError)
_Call = Callable[[Request, RunnableConfig], Any]
_ACall = Callable[[Request, RunnableConfig], Coroutine[Any, Any, Any]]


def calls_of(agent: Agent, *, evidence: bool) -> ModelCalls:
    """Return how to call the agent's model; see `model_calls`."""
    make, schema = _with_tools if agent.tools else _alone, _schema(agent, evidence=evidence)
    given = agent.models if agent.model is None else {"": agent.model}
    models = {name: resolve_model(model, retries=agent.backoff is None) for name, model in given.items()}
    origins = tuple((one.get("ls_provider"), one.get("ls_model_name")) for one in map(origin_of, models.values()))
    calls = {name: make(agent, model, schema) for name, model in models.items()}
    if agent.model is not None:
        return ModelCalls(*calls[""], origins)

    def call(request: Request, config: RunnableConfig) -> Any:
        name = _downgraded(agent, chosen_model(agent, request), config)
        return calls[name][0](request, _with_choice(config, name))

    async def acall(request: Request, config: RunnableConfig) -> Any:
        name = _downgraded(agent, chosen_model(agent, request), config)
        return await calls[name][1](request, _with_choice(config, name))

    return ModelCalls(call, acall, origins)


def _downgraded(agent: Agent, name: str, config: RunnableConfig) -> str:
    """Return the name of the model to use: a cheaper one where the attempt has begun under a step of a budget."""
    current, order = execution_context(config), [*agent.models]
    budget = current.budget if current is not None else None
    step: Downgraded | None = budget.downgraded if budget is not None else None
    if current is None or current.position is None or step is None or order.index(step.model) >= order.index(name):
        return name
    budget.is_downgraded = True  # pyright: ignore[reportOptionalMemberAccess] - it has brought the step
    facts = {"model": step.model, "instead_of": name, "reason": step.reason}
    current.services.emit("model_downgraded", current.position, **facts)
    return step.model


def _with_choice(config: RunnableConfig, name: str) -> RunnableConfig:
    """Return the config of a call by the chosen model: its name is in the metadata of traces and in the events."""
    current = execution_context(config)
    if current is not None and current.budget is not None:
        current.budget.choice = name
    return {**config, "metadata": {**(config.get("metadata") or {}), "model_choice": name}}


def _alone(agent: Agent, model: BaseChatModel, schema: type[BaseModel] | None) -> tuple[_Call, _ACall]:
    runnable, parse, is_native = _structured(model, schema)
    bounds = _CallBounds(agent, model, [schema] if is_native and schema is not None else [])
    described = None if is_native else schema

    def call(request: Request, config: RunnableConfig) -> Any:
        messages = _messages(agent, request, described)
        with _Readable(*_UNREADABLE):
            answer = parse(repeated(lambda: once(messages, config), agent.backoff, execution_context(config)))
        return _read(answer, schema)

    def once(messages: list[BaseMessage], config: RunnableConfig) -> Any:
        with bounds.reserve(messages, config) as bound:
            return runnable.invoke(messages, config, **bounds.options(bound))

    async def acall(request: Request, config: RunnableConfig) -> Any:
        messages = _messages(agent, request, described)
        with _Readable(*_UNREADABLE):
            made = await arepeated(lambda: aonce(messages, config), agent.backoff, execution_context(config))
            answer = parse(made)
        return _read(answer, schema)

    async def aonce(messages: list[BaseMessage], config: RunnableConfig) -> Any:
        async with bounds.reserve(messages, config) as bound:
            return await runnable.ainvoke(messages, config, **bounds.options(bound))

    return call, acall


def _with_tools(agent: Agent, model: BaseChatModel, schema: type[BaseModel] | None) -> tuple[_Call, _ACall]:
    try:
        from langchain.agents import create_agent
        from langchain.agents.middleware import AgentMiddleware
        from langchain.agents.structured_output import StructuredOutputError
    except ImportError as error:
        raise MissingExtra("langchain", extra="agents", needed_for=f"agent {agent.name!r} has tools and") from error

    bounds = _CallBounds(agent, model, [*agent.tools, *([schema] if schema is not None else [])])

    class Bounds(AgentMiddleware[Any, Any]):
        """Bounds what each model call may write."""

        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            def once() -> Any:
                with bounds.reserve(_all_messages(request), None) as bound:
                    return handler(_with_settings(request, bounds.options(bound)))

            return repeated(once, agent.backoff, execution_context(None))

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            async def once() -> Any:
                async with bounds.reserve(_all_messages(request), None) as bound:
                    return await handler(_with_settings(request, bounds.options(bound)))

            return await arepeated(once, agent.backoff, execution_context(None))

    graph: Any = create_agent(
        model,
        list(agent.tools),
        system_prompt=agent.instructions or None,
        response_format=schema,
        middleware=[Bounds()],
        name=agent.name,
    )

    def answer(output: Mapping[str, Any]) -> Any:
        with _Readable(*_UNREADABLE):
            return with_events(_reply(_final(output)), output["messages"])

    call, acall = runnable_calls(graph, messages_input, answer)

    def read(request: Request, config: RunnableConfig) -> Any:
        with _Readable(StructuredOutputError):
            return call(request, config)

    async def aread(request: Request, config: RunnableConfig) -> Any:
        with _Readable(StructuredOutputError):
            return await acall(request, config)

    return read, aread


def _final(output: Mapping[str, Any]) -> Any:
    """Return the answer of an agent with tools; what has sent messages need not answer besides."""
    last, execution = output["messages"][-1], execution_context(None)
    has_sent = execution is not None and execution.outbox is not None and bool(execution.outbox.messages)
    if has_sent and isinstance(last, AIMessage) and not (last.text.strip() or last.invalid_tool_calls):
        return messages_output(output) if output.get("structured_response") is not None else Reply(value=None)
    return messages_output(output)


def _structured(
    model: BaseChatModel, schema: type[BaseModel] | None
) -> tuple[Runnable[Any, Any], Callable[[Any], Any], bool]:
    """Return what to invoke, what reads its output, and whether it passes the schema to the model by itself.

    A model and the parser behind it are invoked apart: as a sequence they cost twice as much as the model alone. What
    leaves something open is passed as JSON schema: clients make strict schemas of classes, which OpenAI then refuses.
    """
    if schema is None:
        return model, _unchanged, True
    try:
        described = schema.model_json_schema()
        runnable = model.with_structured_output(described if _is_open(described) else schema)
    except NotImplementedError:  # the system message describes the schema to such a model
        return model, partial(_parsed, JsonOutputParser()), False
    match runnable:
        case RunnableSequence(steps=[first, BaseOutputParser() as parser]):
            return first, partial(_parsed, parser), True
        case _:
            return runnable, _unchanged, True


def _is_open(schema: Any) -> bool:
    """Return whether a JSON schema leaves something open: an object with free keys, or a value of any type."""
    if not isinstance(schema, Mapping):
        return True
    given = cast("Mapping[str, Any]", schema)
    named: Mapping[str, Any] = given.get("properties") or {}
    kind = given.get("type")
    if _TYPING.isdisjoint(given) or (kind == "object" and (not named or bool(given.get("additionalProperties")))):
        return True
    items = [given.get("items")] if kind == "array" and "prefixItems" not in given else []
    parts = [part for key in ("anyOf", "oneOf", "allOf", "prefixItems") for part in given.get(key) or ()]
    return any(map(_is_open, (*named.values(), *items, *parts, *(given.get("$defs") or {}).values())))


def _parsed(parser: BaseOutputParser[Any], message: Any) -> Any:
    return parser.parse_result([ChatGeneration(message=message)])


def _unchanged(answer: Any) -> Any:
    return answer


def _messages(agent: Agent, request: Request, schema: type[BaseModel] | None) -> list[BaseMessage]:
    parts = [agent.instructions] if agent.instructions else []
    if schema is not None:
        parts.append(f"Answer with JSON alone that fits this JSON schema: {schema.model_json_schema()}")
    system: list[BaseMessage] = [SystemMessage("\n\n".join(parts))] if parts else []
    return [*system, human_message(request)]


class _CallBounds:
    """Reserves the budget of each call of a model agent, and bounds its output."""

    def __init__(self, agent: Agent, model: BaseChatModel, offered: Sequence[Any]) -> None:
        self._wanted, self._origin = agent.max_tokens, origin_of(model)
        self._offered = count_tokens_approximately([], tools=[convert_to_openai_tool(tool) for tool in offered])
        self._option = output_option(model)

    def reserve(self, messages: Sequence[Any], config: RunnableConfig | None) -> CallReservation:
        """Reserve one call with `messages` and what is offered with them; on entering it gives the bound in tokens."""
        counted = prompt_tokens(messages) + self._offered
        return CallReservation(execution_context(config), counted, self._wanted, self._origin)

    def options(self, bound: int | None) -> dict[str, int]:
        """Return the argument of the call that bounds its output."""
        return {} if bound is None else {self._option: bound}


def _all_messages(request: Any) -> list[Any]:
    return [*([request.system_message] if request.system_message else []), *request.messages]


def _with_settings(request: Any, settings: dict[str, int]) -> Any:
    return request.override(model_settings={**request.model_settings, **settings}) if settings else request


class _Readable:
    """Raise `InvalidAnswer` for an answer that cannot be read, which is what `errors` mean."""

    def __init__(self, *errors: type[Exception]) -> None:
        self._errors = errors

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, self._errors):
            raise InvalidAnswer(f"the model's answer cannot be read: {_why_unreadable(error)}") from error


def _why_unreadable(error: Exception) -> str:
    """Return what is wrong with an answer, and what the model has written there, for its next attempt."""
    if isinstance(error, ValidationError):
        return f"{error.title}: {validation_text(error, with_values=True)}"
    return error_text(error, named=False).partition("\nFor troubleshooting")[0].rstrip(" \n:")


def _read(answer: Any, schema: type[BaseModel] | None) -> Any:
    if schema is None:
        return last_text([answer]) if isinstance(answer, AIMessage) else answer
    with _Readable(*_UNREADABLE):
        return _reply(answer if isinstance(answer, schema) else schema.model_validate(answer))


def _reply(answer: Any) -> Any:
    if not isinstance(answer, _Answer):
        return answer
    evidence = tuple(Evidence.model_validate(item.model_dump()) for item in answer.evidence)
    return Reply(value=answer.value, evidence=evidence, confidence=answer.confidence)


class _Quote(BaseModel):
    """One verbatim quote."""

    source: str = Field(description="the name of the source, as it was given")
    quote: str = Field(description="the words of the source, verbatim")
    locator: str = Field(default="", description="the line or lines, as 12 or 12-14")


class _Answer(BaseModel):
    """A value with its quotes; `value` is what the agent declares."""

    value: Any
    evidence: list[_Quote]
    confidence: float | None = Field(default=None, ge=0, le=1)


def _schema(agent: Agent, *, evidence: bool) -> type[BaseModel] | None:
    """Return the pydantic model of the answer; `None` for plain text."""
    output = agent.output or str
    if not evidence and output is str:
        return None
    if not evidence and isinstance(output, type) and issubclass(output, BaseModel):
        return output
    quotes = Field(description="what the answer rests on") if evidence else Field(default_factory=list[_Quote])
    return create_model(
        f"Answer_{getattr(output, '__name__', 'value')}",
        __base__=_Answer,
        value=(output, Field(description="the answer")),
        evidence=(list[_Quote], quotes),
    )
