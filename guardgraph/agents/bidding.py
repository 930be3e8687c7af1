"""What bids for lots in an auction: the declaration of a bidder, its bids, and the request that announces lots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any

from pydantic import Field

from guardgraph.agents.agent import Agent
from guardgraph.agents.defaults import with_defaults
from guardgraph.state import BadGraph, ContextItem, FrozenModel, Request, Subtask
from guardgraph.state.argument_checks import check_fields

__all__ = ("Bid", "Bidder", "Bids", "announced_lots", "lot_items")

_INSTRUCTIONS = """\
You bid for a worker in an auction of subtasks; you do none of the work. The background lists the lots that are
announced, each as a subtask, and the capacity that the worker has left.
- Bid on the lots that the worker can do well, each at most once: the `subtask` is the id of the lot.
- `cost` is what you expect it to cost, `load` how much of the capacity it takes, `seconds` how long until the worker
could begin, `confidence` how likely it succeeds (0 to 1). Bids that turn out too low lower later chances.
- Answer an empty list of bids where no lot fits.\
"""
"""The instructions of a model bidder that has none of its own."""
_SENDER = "guard_dispatch"
"""Who announces lots: a name that no agent can have."""


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

    def __post_init__(self) -> None:
        check_fields(self, "worker", "capacity")
        if self.bid is not None and not (isinstance(self.bid, Agent) or callable(self.bid)):
            raise BadGraph(f"bidder {self.name!r}: `bid` must be an agent or a function, got {self.bid!r:.80}")
        if self.capacity is not None and not 0 < self.capacity < float("inf"):
            raise BadGraph(f"bidder {self.name!r}: `capacity` must be above 0 and finite, got {self.capacity!r}")

    @property
    def name(self) -> str:
        """That of its worker."""
        return self.worker.name

    def bidding_agent(self) -> Agent | None:
        """Return the agent that bids for it, complete with what a model needs; `None` where it bids as declared."""
        if self.bid is None:
            return None
        agent = self.bid if isinstance(self.bid, Agent) else Agent(f"{self.name} bids", run=_answering(self.bid))
        return with_defaults(agent, output=Bids, instructions=_INSTRUCTIONS, attempts=2)


def lot_items(lots: Iterable[Subtask], *, capacity_left: float | None) -> list[ContextItem]:
    """Return lots as context for an agent that bids, and the capacity that its bidder has left."""
    items = [
        ContextItem(
            kind="background",
            title=f"lot {lot.id}",
            value=lot.model_dump(mode="json", include={"id", "goal", "skill", "inputs"}),
            sender=_SENDER,
            subtask=lot.id,
        )
        for lot in lots
    ]
    if capacity_left is not None:
        items.append(ContextItem(kind="background", title="capacity left", value=capacity_left, sender=_SENDER))
    return items


def announced_lots(request: Request) -> tuple[Subtask, ...]:
    """Return the lots for which an agent is to bid: their ids, goals, skills and inputs."""
    items = (one for one in request.context if one.sender == _SENDER and one.subtask is not None)
    return tuple(Subtask.model_validate(item.value) for item in items)


def _answering(bid: Callable[[Sequence[Subtask]], Any]) -> Callable[[Request], Any]:
    """Return what answers a request by a function of its lots."""
    if iscoroutinefunction(bid):

        async def bids_later(request: Request) -> Any:
            return await bid(announced_lots(request))

        return bids_later
    return lambda request: bid(announced_lots(request))
