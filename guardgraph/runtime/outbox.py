"""The messages that one attempt sends, collected until it has ended: a failed attempt sends none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from guardgraph.state import EVERYONE, BadInput, Message

__all__ = ("Outbox",)


@dataclass(frozen=True, slots=True)
class Outbox:
    """What an agent may send, and has sent."""

    sender: str = ""
    """In whose name: that of the agent, or of the one that it is a fallback for."""
    peers: frozenset[str] = frozenset()
    """The agents to which messages may go; empty where its team delivers none."""
    messages: list[Message] = field(default_factory=list[Message])
    """What its tools have sent so far."""

    def checked(self, message: Message) -> Message:
        """Return a message with its sender, and with the names of its recipients.

        Raises `BadInput` for recipients that are no peers, for the sender itself, and for another sender.
        """
        others = self.peers - {self.sender}
        if not self.peers:
            raise BadInput("sends messages, but its team delivers none; `swarm` does")
        if message.sender not in ("", self.sender):
            raise BadInput(f"sends a message in the name of {message.sender!r}; its team sets the sender")
        odd = next((name for name in message.recipients if name != EVERYONE and name not in others), None)
        if odd == self.sender:
            raise BadInput("sends a message to itself; keep it as `memory`, or answer it")
        if odd is not None:
            known = sorted(others)
            names = ", ".join(map(repr, known[:20])) + (", …" if len(known) > 20 else "")
            raise BadInput(f"sends a message to {odd!r}, which is none of its peers: {names}")
        recipients = tuple(sorted(others)) if EVERYONE in message.recipients else message.recipients
        return message.model_copy(update={"recipients": recipients, "sender": self.sender, "id": ""})

    def with_messages(self, more: Sequence[Message]) -> tuple[Message, ...]:
        """Return all that is sent, `more` after what tools have sent. Raises `BadInput` as `checked` does, and for
        more than one handoff."""
        found = tuple(map(self.checked, (*self.messages, *more)))
        if sum(message.performative == "hand_off" for message in found) > 1:
            raise BadInput("hands over to several agents at once; hand over to one")
        return found
