"""A chat model as an agent: alone, or with tools.

LangChain's chat models are loaded here, so nothing but `body` imports this module, and only for an agent with a model.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSequence
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field, ValidationError, create_model

from guardgraph.agents.agent import Agent
from guardgraph.agents.prompt import render
from guardgraph.agents.results import InvalidAnswer
from guardgraph.agents.text import last_text
from guardgraph.models.identity import origin_of
from guardgraph.models.resolve import resolve_model
from guardgraph.runtime.budget.callback_handler import CallReservation
from guardgraph.runtime.execution_context import execution_context
from guardgraph.state import Evidence, MissingExtra, Reply, Request, error_text

__all__ = ("calls_of",)

_Call = Callable[[Request, RunnableConfig], Any]
_ACall = Callable[[Request, RunnableConfig], Coroutine[Any, Any, Any]]


def calls_of(agent: Agent, *, evidence: bool) -> tuple[_Call, _ACall]:
    """Return how to ask the agent's model, sync and async; `model_body` says more."""
    model = resolve_model(agent.model)  # type: ignore[arg-type] - the kind of the agent says that it has one
    schema = _schema(agent, evidence=evidence)
    return _with_tools(agent, model, schema) if agent.tools else _alone(agent, model, schema)


def _alone(agent: Agent, model: BaseChatModel, schema: type[BaseModel] | None) -> tuple[_Call, _ACall]:
    line, native = _line(model, schema)
    line, parse = _parser_of(line)
    till = _Till(agent, model, [schema] if native and schema is not None else [])
    told = None if native else schema

    def call(request: Request, config: RunnableConfig) -> Any:
        messages = _messages(agent, request, told)
        with _reading(), till.book(messages, config) as bound:
            said = parse(line.invoke(messages, config, **till.setting(bound)))
        return _read(said, schema)

    async def acall(request: Request, config: RunnableConfig) -> Any:
        messages = _messages(agent, request, told)
        with _reading():
            async with till.book(messages, config) as bound:
                said = parse(await line.ainvoke(messages, config, **till.setting(bound)))
        return _read(said, schema)

    return call, acall


def _with_tools(agent: Agent, model: BaseChatModel, schema: type[BaseModel] | None) -> tuple[_Call, _ACall]:
    try:
        from langchain.agents import create_agent
        from langchain.agents.middleware import AgentMiddleware
    except ImportError as error:
        raise MissingExtra("langchain", extra="agents", needed_for=f"agent {agent.name!r} has tools and") from error

    till = _Till(agent, model, [*agent.tools, *([schema] if schema is not None else [])])

    class Bounds(AgentMiddleware[Any, Any]):
        """Bounds what each model call may write."""

        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            with till.book(_read_by(request), None) as bound:
                return handler(_within(request, till.setting(bound)))

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            async with till.book(_read_by(request), None) as bound:
                return await handler(_within(request, till.setting(bound)))

    graph: Any = create_agent(
        model,
        list(agent.tools),
        system_prompt=agent.instructions or None,
        response_format=schema,
        middleware=[Bounds()],
        name=agent.name,
    )

    def told(output: Mapping[str, Any]) -> Any:
        structured = output.get("structured_response")
        if structured is None:
            return last_text(output["messages"])
        with _reading():
            return _reply(structured)

    def call(request: Request, config: RunnableConfig) -> Any:
        return told(graph.invoke({"messages": [HumanMessage(render(request))]}, config))

    async def acall(request: Request, config: RunnableConfig) -> Any:
        return told(await graph.ainvoke({"messages": [HumanMessage(render(request))]}, config))

    return call, acall


def _line(model: BaseChatModel, schema: type[BaseModel] | None) -> tuple[Runnable[Any, Any], bool]:
    """Return what to invoke, and whether it brings the schema to the model by itself."""
    if schema is None:
        return model, True
    try:
        return model.with_structured_output(schema), True
    except NotImplementedError:  # such a model is told the schema in words
        return model | JsonOutputParser(), False


def _parser_of(line: Runnable[Any, Any]) -> tuple[Runnable[Any, Any], Callable[[Any], Any]]:
    """Return a model and the parser behind it apart: as a sequence they cost twice as much as the model alone."""
    match line:
        case RunnableSequence(steps=[model, BaseOutputParser() as parser]):
            return model, lambda message: parser.parse_result([ChatGeneration(message=message)])
        case _:
            return line, lambda answer: answer


def _messages(agent: Agent, request: Request, schema: type[BaseModel] | None) -> list[BaseMessage]:
    parts = [agent.instructions] if agent.instructions else []
    if schema is not None:
        parts.append(f"Answer with JSON alone that fits this JSON schema: {schema.model_json_schema()}")
    system: list[BaseMessage] = [SystemMessage("\n\n".join(parts))] if parts else []
    return [*system, HumanMessage(render(request))]


class _Till:
    """Where the calls of one model agent are booked."""

    def __init__(self, agent: Agent, model: BaseChatModel, offered: Sequence[Any]) -> None:
        self._wanted, self._facts = agent.max_tokens, origin_of(model)
        self._offered = count_tokens_approximately([], tools=[convert_to_openai_tool(tool) for tool in offered])
        self._setting = _bound_name(type(model).__name__)

    def book(self, messages: Sequence[Any], config: RunnableConfig | None) -> CallReservation:
        """Book one call that reads `messages`, and what is offered with them."""
        counted = count_tokens_approximately(list(messages)) + self._offered
        return CallReservation(execution_context(config), counted, self._wanted, self._facts)

    def setting(self, bound: int | None) -> dict[str, int]:
        """Return the argument that bounds what the model may write."""
        return {} if bound is None else {self._setting: bound}


def _read_by(request: Any) -> list[Any]:
    return [*([request.system_message] if request.system_message else []), *request.messages]


def _within(request: Any, setting: dict[str, int]) -> Any:
    return request.override(model_settings={**request.model_settings, **setting}) if setting else request


def _bound_name(model: str) -> str:
    return "num_predict" if "Ollama" in model else "max_output_tokens" if "Google" in model else "max_tokens"


@contextmanager
def _reading() -> Generator[None]:
    """Raise `Invalid` for an answer that cannot be read."""
    try:
        yield
    except (OutputParserException, ValidationError) as error:
        raise InvalidAnswer(f"the model's answer cannot be read: {error_text(error, named=False)}") from error


def _read(said: Any, schema: type[BaseModel] | None) -> Any:
    if schema is None:
        return last_text([said]) if isinstance(said, AIMessage) else said
    with _reading():
        return _reply(said if isinstance(said, schema) else schema.model_validate(said))


def _reply(said: Any) -> Any:
    if not isinstance(said, _Answer):
        return said
    evidence = tuple(Evidence.model_validate(item.model_dump()) for item in said.evidence)
    return Reply(value=said.value, evidence=evidence, confidence=said.confidence)


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
    """Return the model that the chat model is to fill; `None` for plain text."""
    if not evidence:
        return None if agent.output is None or agent.output is str else _object(agent.output)
    return _answer(agent.output or str)


def _answer(value: Any) -> type[BaseModel]:
    return create_model(
        f"Answer_{getattr(value, '__name__', 'value')}",
        __base__=_Answer,
        value=(value, Field(description="the answer")),
        evidence=(list[_Quote], Field(description="what the answer rests on")),
    )


def _object(output: Any) -> type[BaseModel]:
    if isinstance(output, type) and issubclass(output, BaseModel):
        return output
    return create_model(
        f"Answer_{getattr(output, '__name__', 'value')}",
        __base__=_Answer,
        value=(output, Field(description="the answer")),
        evidence=(list[_Quote], Field(default_factory=list[_Quote])),
    )
