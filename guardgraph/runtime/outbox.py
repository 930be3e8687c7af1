"""The messages that one attempt sends, collected until it has ended: a failed attempt sends none."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

from guardgraph.state import EVERYONE, BadInput, Message, check_json

__all__ = ("Outbox", "is_json")


@dataclass(frozen=True, slots=True)
class Outbox:
    """What an agent may send, and has sent."""

    sender: str = ""
    """In whose name: that of the agent, or of the one that it is a fallback for."""
    peers: frozenset[str] = frozenset()
    """The agents to which messages may go; empty where its team delivers none."""
    messages: list[Message] = field(default_factory=list[Message])
    """What its tools have sent so far, by their places."""
    _places: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]], repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def checked(self, message: Message) -> Message:
        """Return a message with its sender, and with the names of its recipients.

        Raises `BadInput` for recipients that are no peers, for the sender itself, for another sender, and for a content
        that is no JSON; `ValidationError` for a copy whose fields do not fit.
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
        changes = {"recipients": recipients, "sender": self.sender, "id": "", "trusted": False}
        found = Message.model_validate({**vars(message), **changes})  # a copy may not fit
        if not is_json(found.content):
            raise BadInput("sends what is no JSON: `content` holds NaN, an infinite number or half a character")
        return found

    def send(self, message: Message, place: tuple[int, int], *, is_last: bool = False) -> None:
        """Collect what a tool sends; `place` is the turn of its model, and the number of its call in the turn.

        Raises `BadInput` as `with_messages` does; then it is not collected. What `is_last` ends the attempt: whether
        there is another handoff is checked once that has ended.
        """
        found = self.checked(message)
        with self._lock:  # a model's tools run in parallel
            if not is_last:
                self.with_messages([found])
            index = bisect_right(self._places, place)
            self._places.insert(index, place)
            self.messages.insert(index, found)

    def with_messages(self, more: Sequence[Message]) -> tuple[Message, ...]:
        """Return all that is sent, `more` after what tools have sent. Raises `BadInput` as `checked` does, and for
        more than one handoff. What tools have sent is checked already."""
        found = (*self.messages, *map(self.checked, more))
        if sum(message.performative == "hand_off" for message in found) > 1:
            raise BadInput("hands over to several agents at once; hand over to one")
        return found


def is_json(value: object) -> bool:
    """Return whether what consists of dicts, lists, texts and numbers has a JSON form."""
    try:
        check_json(value)
    except ValueError:  # NaN and infinite numbers, and surrogates without their other half
        return False
    return True
