"""Proposals and their acceptance: a bounded negotiation under a declared rule. Pure: it reads the log of messages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from guardgraph.state import Message

__all__ = ("ANSWERS", "PROPOSALS", "AcceptanceRule", "Proposal", "agreed", "is_accepted", "proposals_of")

ANSWERS = ("accept", "reject", "counter")
"""What answers a proposal."""
PROPOSALS = ("propose", "counter")
"""What is a proposal itself."""

AcceptanceRule = Literal["unanimous", "majority"] | tuple[str, ...]
"""Who has to accept a proposal: all peers, more than half of them, or those that are named."""


@dataclass(slots=True)
class Proposal:
    """A proposal or a counter-proposal, and what each agent has answered to it."""

    message: Message
    accepted: set[str] = field(default_factory=set[str])
    """Who accepts it: its sender, and those whose last answer to it was `accept`."""
    rejected: set[str] = field(default_factory=set[str])
    """Whose last answer to it was `reject` or `counter`."""

    @property
    def is_open(self) -> bool:
        """Whether its sender has not taken it back, by a `reject` of it or by a `counter` to it."""
        return self.message.sender in self.accepted


def proposals_of(log: Iterable[Message]) -> list[Proposal]:
    """Return all proposals in the order in which they were made; an answer to something else is no acceptance."""
    found: dict[str, Proposal] = {}
    for message in log:
        answered = found.get(message.in_reply_to or "")
        if answered is not None:
            if message.performative == "accept":
                answered.accepted.add(message.sender)
                answered.rejected.discard(message.sender)
            elif message.performative in ANSWERS:
                answered.rejected.add(message.sender)
                answered.accepted.discard(message.sender)
        if message.performative in PROPOSALS:
            found[message.id] = Proposal(message, accepted={message.sender})
    return list(found.values())


def is_accepted(proposal: Proposal, rule: AcceptanceRule, voters: Collection[str]) -> bool:
    """Return whether an open proposal is accepted by the rule; `voters` are the peers that still answer.

    The parties that a rule names have to accept whether they answer or not; by the other rules at least one agent
    besides the proposer has to.
    """
    accepted = proposal.accepted
    if not proposal.is_open:
        return False
    if isinstance(rule, tuple):
        return accepted.issuperset(rule)
    votes = len(accepted.intersection(voters))
    if len(accepted) < 2:
        return False
    return votes == len(voters) if rule == "unanimous" else 2 * votes > len(voters)


def agreed(proposals: Sequence[Proposal], rule: AcceptanceRule, voters: Collection[str]) -> Proposal | None:
    """Return the first proposal that is accepted by the rule."""
    return next((one for one in proposals if is_accepted(one, rule, voters)), None)
