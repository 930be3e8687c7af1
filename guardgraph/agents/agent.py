"""The declaration of an agent."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from inspect import iscoroutinefunction
from threading import TIMEOUT_MAX
from typing import Any, Literal, cast, get_args

from langchain_core import language_models
from langchain_core.runnables import Runnable
from langchain_core.runnables.base import RunnableBindingBase
from langgraph.cache.base import BaseCache
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from pydantic import PydanticUserError, TypeAdapter

from guardgraph.guards import Guard, checked_own_guards
from guardgraph.runtime.rates.backoff import Backoff
from guardgraph.runtime.rates.rate_limit import RateLimit
from guardgraph.state import Amount, BadGraph, Outcome, Request
from guardgraph.state.argument_checks import LARGEST, check_fields, shown

__all__ = ("Agent", "AgentKind", "Integrity", "input_keys", "takes_references", "unwrapped")

_CHECKED = (
    "instructions",
    "tools",
    "skills",
    "version",
    "timeout",
    "attempts",
    "fallback",
    "expected_cost",
    "max_tokens",
    "budget_share",
    "choose",
    "cache_ttl",
    "guards",
    "copies",
    "rate_limit",
    "backoff",
    "to_input",
    "from_output",
    "cost",
    "tool_costs",
)
"""The fields that are checked against their annotation; the others have checks of their own."""

_DEAREST = 1_000_000
_TEAM_INPUTS = ("task", "messages")
"""The input keys of which a team has at least one."""

AgentKind = Literal["function", "runnable", "team", "messages", "graph", "model"]
Integrity = Literal["untrusted", "inherits", "endorses"]


@dataclass(frozen=True, slots=True)
class Agent:
    """What answers a `Request`: a function, a Runnable, a compiled graph, or a chat model.

    Exactly one of `run`, `model` and `models` is given. Everything is checked when the agent is made; `BadGraph` names
    what is wrong.
    """

    name: str
    """Unique in its team; may not contain `:`, `|` or `/`."""
    run: Any = None
    """A sync or async function of a `Request`, a Runnable of one, or a compiled graph."""
    model: language_models.BaseChatModel | str | None = None
    """A chat model, or a string such as `openai:gpt-5-mini` or `offline:extractive`."""
    models: Mapping[str, language_models.BaseChatModel | str] = field(default_factory=dict[str, Any], hash=False)
    """Several models by names of yours, from the cheapest to the strongest, in place of `model`."""
    choose: Callable[[Request], str] | None = None
    """Returns the name of the model for a request; by default the last one where the stakes are high or an attempt was
    refused, else the first."""
    instructions: str = ""
    """The system message of a model agent."""
    tools: Sequence[Any] = ()
    """Tools of a model agent (needs the extra `agents`)."""
    skills: Collection[str] = frozenset()
    """What it can do; a subtask that needs a skill goes to an agent that has it."""
    version: str = "1"
    """Copied into every result."""
    output: Any = None
    """The type of its value: a pydantic model or anything a `TypeAdapter` takes; checked before it is stored."""
    timeout: float | None = None
    """Seconds for one attempt, counted from when it holds its slot."""
    attempts: int = 1
    """How many attempts it has before it counts as failed."""
    fallback: Agent | None = None
    """The agent that is tried when this one has failed."""
    expected_cost: Amount | int | None = None
    """The expected cost of one attempt (an int means tokens); learned from earlier attempts where not given."""
    max_tokens: int | None = None
    """The most tokens that one model call may write."""
    budget_share: float | None = None
    """At most this part (0 to 1) of what its team still has may go into one attempt."""
    cache: BaseCache[Any] | None = None
    """LangGraph's cache of whole answers to equal requests: a hit is an attempt without usage."""
    cache_ttl: int | None = None
    """Seconds for which an answer is cached; `None` sets no limit."""
    guards: Sequence[Guard] = ()
    """Guards for this agent alone, which judge after those of its team: what it is sent, and what it answers."""
    copies: int | None = None
    """How many of its attempts run at a time in its team; `None` sets no limit of its own."""
    rate_limit: RateLimit | None = None
    """How many model calls (of a model, or a graph with messages), or else attempts, it has per time in its team."""
    backoff: Backoff | None = None
    """How long it waits before an attempt that follows a failure, and before a model call that met an overload."""
    to_input: Callable[[Request], Any] | None = None
    """Makes the input of a foreign graph."""
    from_output: Callable[[Any], Any] | None = None
    """Takes the value (or a `Reply`) from the output of a foreign graph."""
    integrity: Integrity | None = None
    """The label of what it answers: `untrusted`; `inherits`, trusted where all that it was given is; or `endorses`,
    trusted whatever it was given. By default functions and teams of guardgraph inherit, all others are untrusted."""
    cost: Decimal | str | int | None = None
    """US dollars that one attempt costs beside its model calls, such as those of a paid service: they are reserved
    before its code runs, and it is not started where they do not fit its budget."""
    tool_costs: Mapping[str, Decimal | str | int] = field(default_factory=dict[str, Any], hash=False)
    """US dollars that one call of a tool costs, by the tool's name: they are reserved before it runs, whoever calls
    it in this agent's work, and an attempt that cannot pay is stopped. A call that fails costs the same."""

    def __post_init__(self) -> None:
        _check_name(self.name)
        check_fields(self, *_CHECKED, owner=f"agent {self.name!r}")
        object.__setattr__(self, "skills", frozenset(self.skills))
        object.__setattr__(self, "tools", tuple(self.tools))
        object.__setattr__(self, "guards", checked_own_guards(self.guards))
        problem = next(filter(None, _problems(self)), None)
        if problem:
            raise BadGraph(f"agent {self.name!r}: {problem}")
        object.__setattr__(self, "models", dict(self.models))
        object.__setattr__(self, "tool_costs", dict(self.tool_costs))

    @property
    def kind(self) -> AgentKind:
        """What it is made of; a `team` is a graph with an `Outcome` in its output, as those of guardgraph."""
        if self.model is not None or self.models:
            return "model"
        graph = unwrapped(self.run)
        if isinstance(graph, CompiledStateGraph):
            if self.to_input is None and _is_team(graph):
                return "team"
            return "messages" if "messages" in graph.channels and self.to_input is None else "graph"
        return "runnable" if isinstance(self.run, Runnable) else "function"

    @property
    def calls_models(self) -> bool:
        """Whether it is known to call models: it is one, or a graph with messages."""
        return self.kind in ("model", "messages")

    @property
    def expected_amount(self) -> Amount | None:
        """The declared cost of one attempt."""
        if isinstance(self.expected_cost, int):
            return Amount(tokens=self.expected_cost)
        if self.expected_cost is None and self.cost is not None and self.kind in ("function", "runnable"):
            return Amount(usd=self.attempt_price)
        return self.expected_cost

    @property
    def tool_names(self) -> frozenset[str]:
        """The names of its tools, as a model calls them."""
        return frozenset(map(_tool_name, self.tools))

    @property
    def untrusted_tools(self) -> frozenset[str]:
        """The names of its tools that may return text of others: all without `metadata={"trusted": True}`."""
        given = (tool for tool in self.tools if not (getattr(tool, "metadata", None) or {}).get("trusted"))
        return frozenset(map(_tool_name, given))

    def is_trusted(self, *, given: bool, answered: bool = True) -> bool:
        """Return the label of an answer by that of what the agent was `given`, and that which a team has `answered`."""
        rule = self.integrity or ("inherits" if self.kind in ("function", "team") else "untrusted")
        return rule == "endorses" or (rule == "inherits" and given and answered)

    @property
    def attempt_price(self) -> Decimal:
        """What one attempt costs beside its model calls, in US dollars."""
        return Decimal(0) if self.cost is None else Decimal(self.cost)

    @property
    def tool_prices(self) -> dict[str, Decimal]:
        """What one call of each tool costs, in US dollars."""
        return {name: Decimal(usd) for name, usd in self.tool_costs.items()}

    @property
    def fallback_chain(self) -> tuple[Agent, ...]:
        """The agent, its fallback, the fallback of that, and so on."""
        return (self, *(self.fallback.fallback_chain if self.fallback else ()))


def _is_team(graph: CompiledStateGraph[Any, Any, Any, Any]) -> bool:
    """Return whether a graph takes a task or messages, and has an `Outcome` in its output."""
    kind = getattr(graph.channels.get("outcome"), "ValueType", None)
    return kind is Outcome and "outcome" in graph.output_channels and not input_keys(graph).isdisjoint(_TEAM_INPUTS)


def input_keys(run: Any) -> frozenset[str]:
    """Return the keys of the input of a compiled graph."""
    builder = unwrapped(run).builder
    return frozenset(builder.schemas[builder.input_schema])


def takes_references(agent: Agent) -> bool:
    """Return whether an agent finds the content of attachments by their digests: a team of guardgraph does."""
    return agent.kind == "team" and {"task", "attachments"} <= unwrapped(agent.run).channels.keys()


def unwrapped(run: Any) -> Any:
    """Return the Runnable inside `with_retry`, `with_fallbacks` and the like."""
    if isinstance(run, RunnableBindingBase):
        return unwrapped(run.bound)
    return unwrapped(run.runnable) if _is(run, "RunnableWithFallbacks", "runnables.fallbacks") else run


def _is(value: object, kind: str, module: str) -> bool:
    """Return whether `value` is a `kind` of LangChain's `module`, without loading it: before, no instance exists."""
    known = getattr(sys.modules.get(f"langchain_core.{module}"), kind, None)
    return known is not None and isinstance(value, known)


def _tool_name(tool: Any) -> str:
    if isinstance(tool, Mapping):
        given = cast("Mapping[str, Any]", tool)
        return str(given.get("name") or (given.get("function") or {}).get("name") or given.get("type"))
    return str(getattr(tool, "name", None) or getattr(tool, "__name__", type(tool).__name__))


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name.strip():  # pyright: ignore[reportUnnecessaryIsInstance] - users may err
        raise BadGraph(f"an agent needs a name, got {name!r}")
    if not {":", "|", "/"}.isdisjoint(name) or name.startswith("__") or len(name) > 100:
        raise BadGraph(f"agent name {name!r} must be at most 100 characters, without ':', '|', '/' or a leading '__'")


def _problems(agent: Agent) -> Iterable[str | None]:
    """Yield what is wrong with a declaration."""
    run: Any = agent.run
    if sum((run is not None, agent.model is not None, bool(agent.models))) != 1:
        yield "give exactly one of `run`, `model` and `models`"
    yield from _bad_choice(agent)
    if isinstance(run, StateGraph):
        yield "`run` is a graph that is not compiled; pass `graph.compile()`"
    if _is(run, "BaseChatModel", "language_models.chat_models"):
        yield "`run` is a chat model; pass it as `model=`"
    yield _bad_model(agent.model)
    if run is not None and not (callable(run) or isinstance(run, Runnable)):
        yield f"`run` must be a function, a Runnable or a compiled graph, got {type(run).__name__}"
    if agent.tools and run is not None:
        yield "`tools` go with `model`; a function brings its own"
    yield from _bad_integrity(agent)
    if agent.kind == "graph" and (agent.to_input is None or agent.from_output is None):
        yield "this graph has no `messages` channel: give `to_input=` and `from_output=`"
    if not isinstance(agent.cache, BaseCache | None):  # pyright: ignore[reportUnnecessaryIsInstance] - users may err
        yield f"`cache` must be a cache of LangGraph (a `BaseCache`), got {type(agent.cache).__name__}"
    if not _is_type(agent.output):
        yield f"`output` must be a type that pydantic can check, got {agent.output!r}"
    yield from _bad_waits(agent)
    yield from _bad_limits(agent)
    yield from _bad_costs(agent)


def _bad_costs(agent: Agent) -> Iterable[str]:
    costs: Mapping[str, Any] = {"cost": agent.cost} if agent.cost is not None else {}
    for name, usd in {**costs, **{f"tool_costs[{name!r}]": usd for name, usd in agent.tool_costs.items()}}.items():
        try:
            price = Decimal(usd)
        except InvalidOperation:
            yield f"`{name}` must be an amount of US dollars, got {usd!r}"
            continue
        if not (price.is_finite() and 0 <= price <= _DEAREST):
            yield f"`{name}` must be from 0 to {_DEAREST:,} US dollars, got {usd!r}"
    names = agent.tool_names
    unknown = sorted(set(agent.tool_costs) - names) if names and agent.run is None else []
    if unknown:
        yield f"`tool_costs` names {unknown[0]!r}, which is none of its tools: {', '.join(sorted(names))}"


def _bad_model(model: Any) -> str | None:
    if model is None or isinstance(model, str) or _is(model, "BaseChatModel", "language_models.chat_models"):
        return None
    hint = "; pass a function or a Runnable as `run=`" if callable(model) or isinstance(model, Runnable) else ""
    if isinstance(model, RunnableBindingBase):
        hint = "; give the model itself: settings go to its constructor, tools to `tools=`, retries to `attempts=`"
    return f"`model` must be a chat model or its name, got {type(model).__name__}{hint}"


def _bad_waits(agent: Agent) -> Iterable[str]:
    """Yield what does not fit a rate limit, and which models repeat calls by themselves, beside a backoff."""
    if agent.rate_limit is not None and agent.rate_limit.tokens is not None and not agent.calls_models:
        yield "`rate_limit` limits `tokens`, but only the calls of a model or of a graph with messages are counted"
    for model in () if agent.backoff is None else (agent.model, *agent.models.values()):
        if model is None or isinstance(model, str) or not hasattr(model, "max_retries"):
            continue
        kind, retries = type(model).__name__, cast("Any", model).max_retries
        none = 1 if "Google" in kind else 0  # its client counts the first call
        if retries is None or retries > none:
            yield f"`backoff` repeats refused calls, and {kind} does so by itself too; make it with max_retries={none}"


def _bad_integrity(agent: Agent) -> Iterable[str]:
    if agent.integrity is not None and agent.integrity not in get_args(Integrity):
        known = ", ".join(map(repr, get_args(Integrity)))
        yield f"`integrity` must be one of {known}, or None, got {agent.integrity!r}"


def _bad_choice(agent: Agent) -> Iterable[str]:
    models: Any = agent.models
    if not isinstance(models, Mapping) or not all(isinstance(name, str) and name for name in models):
        yield "`models` must be a mapping of names to chat models"
        return
    for name, model in agent.models.items():
        problem = "`model` must be a chat model or its name" if model is None else _bad_model(model)  # pyright: ignore[reportUnnecessaryComparison]
        if problem:
            yield f"`models[{name!r}]`: {problem}"
    if agent.choose is not None and not models:
        yield "`choose` goes with `models`"
    if iscoroutinefunction(agent.choose):
        yield "`choose` must be a plain function: declare it with `def`"


def _is_type(output: Any) -> bool:
    if isinstance(output, str | Mapping):
        return False
    try:
        TypeAdapter(output)
    except PydanticUserError:
        return False
    return True


def _bad_limits(agent: Agent) -> Iterable[str]:
    cost, seconds, share = agent.expected_cost, agent.timeout, agent.budget_share
    counts = {name: getattr(agent, name) for name in ("attempts", "copies", "max_tokens")}
    limits = (
        *((name, one is None or one >= 1, "be at least 1") for name, one in counts.items()),
        *((name, one is None or one <= LARGEST, f"be at most {LARGEST:.0e}") for name, one in counts.items()),
        ("timeout", seconds is None or 0 < seconds <= TIMEOUT_MAX, "be more than 0 seconds and finite"),
        ("expected_cost", _is_cost(cost), f"have whole numbers, and US dollars as a Decimal, from 0 to {LARGEST:.0e}"),
        (
            "cache_ttl",
            agent.cache_ttl is None or (agent.cache_ttl >= 1 and agent.cache is not None),
            "be at least 1 and beside a `cache`",
        ),
        ("budget_share", share is None or 0 < share <= 1, "be above 0 and at most 1"),
    )
    return (f"`{name}` must {rule}, got {shown(getattr(agent, name))}" for name, fits, rule in limits if not fits)


def _is_cost(cost: Amount | int | None) -> bool:
    """Return whether an expected cost can be compared with what is left: `Amount` itself checks nothing."""
    if cost is None or isinstance(cost, int):
        return cost is None or 0 <= cost <= LARGEST
    usd: Any = cost.usd
    counts: list[Any] = [cost.tokens, cost.calls, cost.subtasks, cost.messages]
    is_money = usd is None or (isinstance(usd, Decimal) and usd.is_finite() and 0 <= usd <= LARGEST)
    return is_money and all(type(one) is int and 0 <= one <= LARGEST for one in counts)
