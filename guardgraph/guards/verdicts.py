"""The verdict of one guard, also where its own code fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from guardgraph.guards.context import GuardContext, name_of
from guardgraph.state import Allowance, Verdict, error_text

__all__ = ("returned_by", "verdict_of")

_Kind = TypeVar("_Kind", Verdict, Allowance)


def verdict_of(guard: Callable[[GuardContext], object], context: GuardContext) -> Verdict:
    """Return the verdict of `guard`: a trip with a reason where it raises, or returns anything but a `Verdict`."""
    verdict = returned_by(guard, guard, context, Verdict)
    if isinstance(verdict, str):
        return context.verdict(guard, trips=True, reason=verdict)
    is_bare = verdict.action == "trip" and not verdict.reason.strip()
    return verdict.model_copy(update={"reason": "no reason given"}) if is_bare else verdict


def returned_by(
    guard: object, call: Callable[[GuardContext], object], context: GuardContext, kind: type[_Kind]
) -> _Kind | str:
    """Return what a guard returns, or the reason why it trips: a guard that fails must not let anything pass."""
    try:
        returned = call(context)
    except (Exception, SystemExit) as error:
        return f"guard {name_of(guard)!r} raised {error_text(error)}"
    if isinstance(returned, kind):
        return returned
    return f"guard {name_of(guard)!r} must return {kind.__name__}, got {type(returned).__name__}"
