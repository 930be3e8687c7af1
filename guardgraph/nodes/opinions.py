"""The opinions of reviewers in the state of a team, and what they mean for a guard. Pure: it reads the state alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import JsonValue, TypeAdapter, ValidationError

from guardgraph.guards import (
    REVIEWED_AT,
    Guard,
    GuardContext,
    GuardDecision,
    Question,
    Reviewable,
    name_of,
)
from guardgraph.state import BadInput, ContextItem, Opinion, Result, ReviewRequest, Verdict, error_text, validation_text

if TYPE_CHECKING:
    from guardgraph.nodes.gate_context import GateContext

__all__ = ("OpenReview", "answer_item", "attempts_at", "opinion_in", "review_of")


class OpenReview(NamedTuple):
    """An opinion that a guard needs, and that is not there."""

    reviewer: str
    """The name of the agent that is to give it."""
    request: ReviewRequest
    context: tuple[ContextItem, ...]
    """What it is given beside the answer."""


_ITEMS = TypeAdapter(tuple[ContextItem, ...])


class _Given(NamedTuple):
    opinion: Opinion
    result: Result


def review_of(
    gate: GateContext, guard: Guard, context: GuardContext, own: GuardDecision, *, asking: bool
) -> tuple[GuardDecision, tuple[OpenReview, ...]]:
    """Return what a guard decides with the opinion of its reviewer, and the opinion that it needs and has not.

    `own` is what it decides alone. Without the opinion the subject does not pass, unless the guard declares it; while
    `asking` it never does.
    """
    if not isinstance(guard, Reviewable) or guard.review is None or not isinstance(context.subject, Result):
        return own, ()
    if context.gate not in REVIEWED_AT:
        return own, ()
    verdict = next(iter(own.verdicts), context.verdict(guard, trips=False))
    try:
        found = guard.asks(context, verdict)
        if found is None:
            return own, ()
        question, item = _checked(found), answer_item(context.subject)
        request = _request(guard.review, question, context.subject, item)
    except (Exception, SystemExit) as error:  # what cannot be asked must not let the subject pass
        reason = f"guard {name_of(guard)!r} could not ask its reviewer: {error_text(error)}"
        return GuardDecision(context.verdict(guard, trips=True, reason=reason), guard.on_trip), ()
    known = verdict if question.has_verdict else None
    given = _opinion_on(gate.state, request.id)
    if given is not None:
        return _by_opinion(guard, context, known, given), ()
    needed = OpenReview(guard.review, request, (item, *question.context))
    return _without_opinion(guard, context, known, gate.unreviewed.get(request.id, ""), asking=asking), (needed,)


def attempts_at(state: Mapping[str, Any], request: ReviewRequest) -> list[Result]:
    """Return all attempts at an opinion, in order."""
    return [one for one in state.get("reviews") or () if one.review == request.id]


def opinion_in(result: Result) -> Opinion | str:
    """Return the opinion in the result of a reviewer, or why there is none: an answer that is not whole has none."""
    if result.status != "ok":
        return result.error.message if result.error is not None else "it gave no whole answer"
    try:
        return Opinion.of(result.value)
    except ValidationError as error:
        return f"its answer is no opinion (`True`, `False` or an `Opinion`): {validation_text(error, whole='answer')}"


def answer_item(result: Result) -> ContextItem:
    """Return a result as a reviewer is given it: all that others would be given once it is accepted."""
    more: dict[str, JsonValue] = {}
    if result.messages:
        more["messages"] = [one.model_dump(mode="json", exclude_defaults=True) for one in result.messages]
    if result.events:
        more["events"] = [one.model_dump(mode="json", exclude_defaults=True) for one in result.events]
    return ContextItem(
        kind="answer",
        title=f"the answer of {result.agent!r}",
        sender=result.agent,
        value={"value": result.value, **more} if more else result.value,
        evidence=result.evidence,
        confidence=result.confidence,
        reasoning=result.reasoning,
        subtask=result.subtask,
        origin="agent",
        trusted=result.trusted,
    )


def _checked(found: object) -> Question:
    """Return what a guard asks. Raises `BadInput`, or an error of pydantic, for what cannot be asked."""
    if not isinstance(found, Question):
        raise BadInput(f"`asks` returns a `Question`, or `None` where the guard's own verdict holds; got {found!r:.80}")
    if isinstance(found.text, str) and not found.text.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise BadInput("its question is empty; state what must hold of an answer")
    return found._replace(context=_ITEMS.validate_python(found.context))


def _request(reviewer: str, question: Question, result: Result, item: ContextItem) -> ReviewRequest:
    """Return what a reviewer is asked, under an id that no other question and no other answer has."""
    parts = [reviewer, question.text, result.id, item.model_dump(mode="json", exclude={"trusted"})]
    text = json.dumps(parts, sort_keys=True).encode("utf-8", "surrogatepass")
    id_ = blake2b(text, digest_size=12).hexdigest()
    return ReviewRequest(id=id_, result=result.id, agent=result.agent, question=question.text)


def _opinion_on(state: Mapping[str, Any], request_id: str) -> _Given | None:
    """Return the latest opinion of that id; one that was given later replaces one before."""
    for result in reversed(state.get("reviews") or ()):
        opinion = opinion_in(result) if result.review == request_id else ""
        if isinstance(opinion, Opinion):
            return _Given(opinion, result)
    return None


def _by_opinion(guard: Any, context: GuardContext, own: Verdict | None, given: _Given) -> GuardDecision:
    """Return what the opinion decides; `own` is the guard's own verdict, where it has one that is no pass."""
    opinion, result = given
    sure = opinion.confidence if opinion.confidence is not None else result.confidence
    measured: JsonValue = {"reviewer": result.agent, "approved": opinion.approved, "confidence": sure}
    if opinion.approved:
        return GuardDecision(None, None, passes=(context.verdict(guard, trips=False, measured=measured),))
    why = f"the reviewer {result.agent!r} does not approve it: {opinion.reason.strip() or 'no reason given'}"
    trip = context.verdict(guard, trips=True, measured=measured, reason=_reason(own, why))
    decision = GuardDecision.of(guard, trip)
    return decision._replace(alerts=_alerts(own), trusted=result.trusted)


def _without_opinion(
    guard: Any, context: GuardContext, own: Verdict | None, detail: str, *, asking: bool
) -> GuardDecision:
    """Return what becomes of a subject without an opinion."""
    why = f"the reviewer {guard.review!r} has given no opinion" + (f": {detail}" if detail else "")
    trip = context.verdict(guard, trips=True, measured={"reviewer": guard.review}, reason=_reason(own, why))
    if guard.unreviewed == "pass" and not asking:
        return GuardDecision(None, None, (*_alerts(own), trip.model_copy(update={"action": "alert"})))
    decision = GuardDecision.of(guard, trip)._replace(alerts=_alerts(own))
    return decision if own is not None and own.action == "trip" else decision.without_opinion()


def _reason(own: Verdict | None, why: str) -> str:
    return f"{own.reason}; {why}" if own is not None and own.action == "trip" else why


def _alerts(own: Verdict | None) -> tuple[Verdict, ...]:
    return (own,) if own is not None and own.action == "alert" else ()
