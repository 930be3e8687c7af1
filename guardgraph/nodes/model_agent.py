"""A chat model as an agent: alone, or with tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, create_model

from guardgraph.nodes.agent import Agent
from guardgraph.nodes.attempt import Invalid
from guardgraph.nodes.models import model_of
from guardgraph.nodes.render import render
from guardgraph.nodes.services import here_of
from guardgraph.state import Evidence, MissingExtra, Reply, Request

__all__ = ("last_text", "model_body")

_Call = Callable[[Request, RunnableConfig], Any]
_ACall = Callable[[Request, RunnableConfig], Awaitable[Any]]


def model_body(agent: Agent, *, evidence: bool) -> tuple[_Call, _ACall]:
    """Return how to ask the agent's model, sync and async. The model is made once, when the graph is built."""
    model = model_of(agent.model)  # type: ignore[arg-type] - the kind of the agent says that it has one
    schema = _schema(agent, evidence=evidence)
    return _with_tools(agent, model, schema) if agent.tools else _alone(agent, model, schema)


def last_text(messages: Sequence[Any]) -> str:
    """Return what an agent said last. Raises `Invalid` where that is a tool call whose arguments are broken."""
    last = messages[-1]
    if isinstance(last, AIMessage) and last.invalid_tool_calls and not last.text:
        broken = last.invalid_tool_calls[0]
        raise Invalid(f"the model's tool call cannot be read: {broken.get('name')}({str(broken.get('args'))[:200]})")
    return last.text


def _alone(agent: Agent, model: BaseChatModel, schema: type[BaseModel] | None) -> tuple[_Call, _ACall]:
    line, native = _line(model, schema)

    def prepare(request: Request, config: RunnableConfig) -> tuple[list[BaseMessage], dict[str, Any]]:
        messages = _messages(agent, request, None if native else schema)
        return messages, _bound(agent, model, messages, config)

    def call(request: Request, config: RunnableConfig) -> Any:
        messages, bound = prepare(request, config)
        return _read(lambda: line.invoke(messages, config, **bound), schema)

    async def acall(request: Request, config: RunnableConfig) -> Any:
        messages, bound = prepare(request, config)
        try:
            said = await line.ainvoke(messages, config, **bound)
        except (OutputParserException, ValidationError) as error:
            raise Invalid(f"the model's answer cannot be read: {error}") from error
        return _read(lambda: said, schema)

    return call, acall


def _with_tools(agent: Agent, model: BaseChatModel, schema: type[BaseModel] | None) -> tuple[_Call, _ACall]:
    try:
        from langchain.agents import create_agent
        from langchain.agents.middleware import AgentMiddleware
    except ImportError as error:
        raise MissingExtra("langchain", extra="agents", needed_for=f"agent {agent.name!r} has tools and") from error

    class Bounds(AgentMiddleware[Any, Any]):
        """Bounds what each model call may write."""

        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            return handler(self._bound(request))

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            return await handler(self._bound(request))

        def _bound(self, request: Any) -> Any:
            bound = _bound(agent, model, request.messages, None)
            return request.override(model_settings={**request.model_settings, **bound}) if bound else request

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
        return last_text(output["messages"]) if structured is None else _reply(structured)

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


def _messages(agent: Agent, request: Request, schema: type[BaseModel] | None) -> list[BaseMessage]:
    parts = [agent.instructions] if agent.instructions else []
    if schema is not None:
        parts.append(f"Answer with JSON alone that fits this JSON schema: {schema.model_json_schema()}")
    system: list[BaseMessage] = [SystemMessage("\n\n".join(parts))] if parts else []
    return [*system, HumanMessage(render(request))]


def _bound(
    agent: Agent, model: BaseChatModel, messages: Sequence[Any], config: RunnableConfig | None
) -> dict[str, Any]:
    """Return the argument that bounds what the model may write: what the agent declares, and what is left."""
    here = here_of(config)
    wanted = agent.max_tokens
    if here is not None and here.output_bound is not None:
        wanted = here.output_bound(count_tokens_approximately(list(messages)), wanted)
    return {} if wanted is None else {_bound_name(type(model).__name__): wanted}


def _bound_name(model: str) -> str:
    return "num_predict" if "Ollama" in model else "max_output_tokens" if "Google" in model else "max_tokens"


def _read(ask: Callable[[], Any], schema: type[BaseModel] | None) -> Any:
    try:
        said = ask()
        if schema is None:
            return said.text if isinstance(said, AIMessage) else said
        return _reply(said if isinstance(said, schema) else schema.model_validate(said))
    except (OutputParserException, ValidationError) as error:
        raise Invalid(f"the model's answer cannot be read: {error}") from error


def _reply(said: Any) -> Any:
    if not type(said).__name__.startswith("Answer_"):
        return said
    evidence = tuple(Evidence.model_validate(item.model_dump()) for item in said.evidence)
    return Reply(value=said.value, evidence=evidence, confidence=said.confidence)


class _Quote(BaseModel):
    """One verbatim quote."""

    source: str = Field(description="the name of the source, as it was given")
    quote: str = Field(description="the words of the source, verbatim")
    locator: str = Field(default="", description="the line or lines, as 12 or 12-14")


def _schema(agent: Agent, *, evidence: bool) -> type[BaseModel] | None:
    """Return the model that the chat model is to fill; `None` for plain text."""
    if not evidence:
        return None if agent.output is None or agent.output is str else _object(agent.output)
    return _answer(agent.output or str)


@cache
def _answer(value: Any) -> type[BaseModel]:
    return create_model(
        f"Answer_{getattr(value, '__name__', 'value')}",
        value=(value, Field(description="the answer")),
        evidence=(list[_Quote], Field(description="what the answer rests on")),
        confidence=(float | None, Field(default=None, ge=0, le=1)),
    )


@cache
def _object(output: Any) -> type[BaseModel]:
    if isinstance(output, type) and issubclass(output, BaseModel):
        return output
    TypeAdapter(output)  # what is no type is found out here
    return create_model(
        f"Answer_{getattr(output, '__name__', 'value')}",
        value=(output, Field(description="the answer")),
        evidence=(list[_Quote], Field(default_factory=list[_Quote])),
        confidence=(float | None, Field(default=None, ge=0, le=1)),
    )
