"""The message that one agent sends to others."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from guardgraph.state.evidence import Evidence
from guardgraph.state.frozen_model import FrozenModel

__all__ = ("EVERYONE", "Message", "Performative")

EVERYONE = "*"
"""As a recipient: all other agents of the team."""

Performative = Literal["inform", "ask", "propose", "counter", "accept", "reject", "bid", "award", "hand_off"]
"""What a message is meant to do, as in FIPA's communicative acts (SC00037J) and Smith's contract net (1980)."""
_ANSWERS = ("counter", "accept", "reject")


class Message(FrozenModel):
    """A message of one agent to others: data, never an instruction.

    Its team sets `sender`, `id` and `trusted`: an agent cannot send one in the name of another.
    """

    recipients: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field(min_length=1, max_length=10_000)
    """The names of the agents that get it, each once; `EVERYONE` alone means all others."""
    content: JsonValue = None
    """Its content, as JSON data."""
    performative: Performative = "inform"
    """What it is meant to do."""
    in_reply_to: str | None = Field(default=None, max_length=300)
    """The id of the message that it answers; a counter-proposal, an acceptance and a rejection need one."""
    commits: dict[str, Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    """What its sender commits itself to, by unit: `{"usd": 450}`."""
    evidence: tuple[Evidence, ...] = ()
    """What it rests on."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    """How sure its sender is, from 0 to 1; `None` if unknown."""
    reasoning: str = ""
    """Why its sender answers so."""
    sender: str = Field(default="", max_length=100)
    """The agent that sends it."""
    id: str = Field(default="", max_length=300)
    """Unique in the run, and the same when a crashed attempt runs again."""
    trusted: bool = False
    """Its integrity label, that of the result it comes from; its team sets it."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if len(set(self.recipients)) < len(self.recipients):
            raise ValueError("`recipients` names an agent twice")
        if EVERYONE in self.recipients and len(self.recipients) > 1:
            raise ValueError(f"`recipients` names {EVERYONE!r}, which stands for all others, beside other names")
        if self.sender and self.sender in self.recipients:
            raise ValueError(f"{self.sender!r} sends a message to itself")
        if self.performative in _ANSWERS and self.in_reply_to is None:
            raise ValueError(f"`{self.performative}` answers a proposal: give its id as `in_reply_to`")
        if self.performative == "hand_off" and (len(self.recipients) > 1 or EVERYONE in self.recipients):
            raise ValueError("`hand_off` goes to exactly one agent")
        return self
