"""What bids for lots in an auction: the declaration of a bidder, its bids, and the request that announces lots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from math import isfinite
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, TypeAdapter, WithJsonSchema

from guardgraph.agents.agent import Agent
from guardgraph.agents.defaults import with_defaults
from guardgraph.state import BadGraph, ContextItem, FrozenModel, Request, Subtask
from guardgraph.state.argument_checks import check_fields

__all__ = ("Bid", "Bidder", "Bids", "announced_lots", "capacity_item", "lots_item")

_INSTRUCTIONS = """\
You bid for a worker in an auction of subtasks; you do none of the work. The background lists the lots that are
announced, each a subtask, and the capacity that the worker has left.
- Bid on the lots that the worker can do well, each at most once: the `subtask` is the id of the lot.
- `cost` is what you expect it to cost, `load` how much of the capacity it takes, `seconds` how long until the worker
could begin, `confidence` how likely it succeeds (0 to 1). Bids that turn out too low lower later chances.
- Answer an empty list of bids where no lot fits.\
"""
"""The instructions of a model bidder that has none of its own."""
_SENDER = "guard_dispatch"
"""Who announces lots: a name that no agent can have."""
_TITLE = "announced lots"
_LOTS = TypeAdapter(tuple[Subtask, ...])


class Bid(FrozenModel):
    """What a bidder offers for one lot."""

    subtask: str
    """The id of the lot."""
    cost: float = Field(ge=0, allow_inf_nan=False)
    """What it is expected to cost, in the unit of the auction."""
    load: float = Field(default=1, ge=0, allow_inf_nan=False)
    """How much of the bidder's capacity it takes."""
    seconds: float = Field(default=0, ge=0, allow_inf_nan=False)
    """How long until the bidder can begin."""
    confidence: float = Field(default=1, ge=0, le=1, allow_inf_nan=False)
    """How likely it succeeds, from 0 to 1."""


class Bids(FrozenModel):
    """The answer of an agent that bids; an empty one declines."""

    bids: tuple[Bid, ...] = ()
    """At most one for each lot."""


def _with_text_for_infinite(answer: JsonValue) -> JsonValue:
    """Return a bid in which what is no JSON, as `NaN`, is text: then it is refused alone."""
    if not isinstance(answer, dict):
        return answer
    return {key: str(one) if isinstance(one, float) and not isfinite(one) else one for key, one in answer.items()}


_OneBid = Annotated[JsonValue, AfterValidator(_with_text_for_infinite), WithJsonSchema(Bid.model_json_schema())]


class _BidsOfModel(FrozenModel):
    """The answer of an agent that bids; an empty one declines."""

    # Its schema is that of `Bids`; each bid is checked when it is read, so that one does not take the others with it.
    model_config = ConfigDict(title="Bids")
    bids: tuple[_OneBid, ...] = ()
    """At most one for each lot."""


@dataclass(frozen=True, slots=True)
class Bidder:
    """A worker in an auction, and how it bids."""

    worker: Agent
    """Does the lots that it is awarded; it is asked only for what it can do by its skills."""
    bid: Agent | Callable[[Sequence[Subtask]], Any] | None = None
    """A plain or async function of the announced lots that returns bids, or an agent that answers them.

    Such an agent finds the lots by `announced_lots(request)`; one that is a model needs nothing else. With `None` the
    bidder bids for every lot what its worker declares as `expected_cost`, with a load of 1.
    """
    capacity: float | None = None
    """The most load that it is awarded in a run, without that of lots at which it has failed; `None` sets no limit."""
    timeout: float | None = None
    """So many seconds a function has to bid, each time it is asked; `None` sets no limit. An agent has its own."""

    def __post_init__(self) -> None:
        check_fields(self, "worker", "capacity", "timeout")
        if self.bid is not None and not (isinstance(self.bid, Agent) or callable(self.bid)):
            raise BadGraph(f"bidder {self.name!r}: `bid` must be an agent or a function, got {self.bid!r:.80}")
        if self.capacity is not None and not 0 < self.capacity < float("inf"):
            raise BadGraph(f"bidder {self.name!r}: `capacity` must be above 0 and finite, got {self.capacity!r}")
        if self.timeout is not None and (self.bid is None or isinstance(self.bid, Agent)):
            raise BadGraph(f"bidder {self.name!r}: `timeout` is that of a function that bids; an agent has its own")
        self.bidding_agent()

    @property
    def name(self) -> str:
        """That of its worker."""
        return self.worker.name

    def bidding_agent(self) -> Agent | None:
        """Return the agent that bids for it, complete with what a model needs; `None` where it bids as declared."""
        if self.bid is None:
            return None
        if isinstance(self.bid, Agent):
            return with_defaults(self.bid, output=_BidsOfModel, instructions=_INSTRUCTIONS, attempts=2)
        return Agent(f"{self.name} bids", run=_answering(self.bid), timeout=self.timeout)


def lots_item(lots: Sequence[Subtask], *, trusted: bool = False) -> ContextItem:
    """Return lots as context for an agent that bids; they are `trusted` where they come from a trusted plan."""
    fields = {"__all__": {"id", "goal", "skill", "inputs"}}
    value = _LOTS.dump_python(tuple(lots), mode="json", include=fields, exclude_defaults=True)
    return ContextItem(kind="background", title=_TITLE, value=value, sender=_SENDER, origin="agent", trusted=trusted)


def capacity_item(left: float) -> ContextItem:
    """Return the capacity that a bidder has left as context for its agent that bids."""
    return ContextItem(
        kind="background", title="capacity left", value=left, sender=_SENDER, origin="code", trusted=True
    )


def announced_lots(request: Request) -> tuple[Subtask, ...]:
    """Return the lots for which an agent is to bid: their ids, goals, skills and inputs."""
    values = [one.value for one in request.context if one.sender == _SENDER and one.title == _TITLE]
    return _LOTS.validate_python(values[-1]) if values else ()  # those of a team above come before its own


def _answering(bid: Callable[[Sequence[Subtask]], Any]) -> Callable[[Request], Any]:
    """Return what answers a request by a function of its lots."""
    if iscoroutinefunction(bid):

        async def bids_later(request: Request) -> Any:
            return await bid(announced_lots(request))

        return bids_later
    return lambda request: bid(announced_lots(request))
