"""Guards that name a reviewer: an agent at a gate, whose opinion a guard needs where a model has to judge."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, Protocol, cast, get_args, runtime_checkable

from guardgraph.guards.composition import leaves
from guardgraph.guards.context import GuardContext
from guardgraph.guards.guard import Guard
from guardgraph.state import BadGraph, ContextItem, Gate, Verdict

__all__ = ("REVIEWED_AT", "Question", "Reviewable", "Unreviewed", "check_review", "reviewing")

Unreviewed = Literal["trip", "pass"]
REVIEWED_AT = frozenset[Gate]({"handoff", "exit"})
"""The gates at which a reviewer gives its opinion: where a result or a draft is judged."""


class Question(NamedTuple):
    """What a guard asks its reviewer about the subject."""

    text: str
    """What must hold of the answer; the reviewer approves it where that is so. It is text of the declaration."""
    context: tuple[ContextItem, ...] = ()
    """What the reviewer is given beside the answer and the task."""
    has_verdict: bool = True
    """Whether the guard's own verdict judges the subject, and does not only state that an opinion is missing."""


@runtime_checkable
class Reviewable(Protocol):
    """A guard that names an agent, which gives an opinion where the guard alone cannot decide. The guard stays pure.

    Where `asks` returns a question, the opinion takes the place of the guard's own verdict.
    """

    @property
    def review(self) -> str | None:
        """The name of the reviewer; `None` for none."""
        ...

    @property
    def unreviewed(self) -> Unreviewed:
        """What becomes of a subject of which the reviewer has given no opinion."""
        ...

    def asks(self, context: GuardContext, verdict: Verdict, /) -> Question | None:
        """Return what the reviewer is asked about the subject; `None` where the guard's own `verdict` holds."""
        ...


def reviewing(guards: Iterable[Guard]) -> list[Reviewable]:
    """Return those guards, and parts of guards, that name a reviewer."""
    return [cast("Reviewable", one) for one in leaves(guards) if getattr(one, "review", None) is not None]


def check_review(guard: str, review: object, unreviewed: object) -> None:
    """Raise `BadGraph` for what names no agent, or for an `unreviewed` that does not exist."""
    if review is not None and not (isinstance(review, str) and review.strip()):
        raise BadGraph(f"{guard}: `review` is the name of an agent in `reviewers`, got {review!r:.80}")
    if unreviewed not in get_args(Unreviewed):
        raise BadGraph(f'{guard}: `unreviewed` must be "trip" or "pass", got {unreviewed!r:.80}')
