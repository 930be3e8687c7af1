"""How the guards of a gate are evaluated for one subject: each reads its sources, alerts once, and has its opinions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from guardgraph.guards import (
    AccountLimiter,
    AnyOf,
    Guard,
    GuardContext,
    GuardDecision,
    SourceReader,
    alert_of,
    caps_accounts,
    evaluate_guards,
    name_of,
    reads_sources,
)
from guardgraph.nodes.opinions import OpenReview, review_of
from guardgraph.state import Balance, Evidence, Result, Verdict, claims_in, error_text, evidence_of

if TYPE_CHECKING:
    from guardgraph.nodes.gate_context import GateContext

__all__ = ("alerts_once", "decision_of", "open_reviews")


_PASS = GuardDecision(None, None)


class _Evaluation(NamedTuple):
    decision: GuardDecision
    open: tuple[OpenReview, ...] = ()
    """The opinions that it would need, and that are not there."""


def decision_of(guards: Sequence[Guard], context: GuardContext, gate: GateContext) -> GuardDecision:
    """Evaluate the guards in order; the first trip ends it.

    A guard that needs an opinion which is not there decides last: where all others let the subject pass.
    """
    alerts, passes, unreviewed = tuple[Verdict, ...](), tuple[Verdict, ...](), list[GuardDecision]()
    for guard in guards:
        decision, open_ = _evaluate(guard, context, gate)
        if decision.alerts and caps_accounts(guard):
            alerts += alerts_once(guard, context, decision.alerts[0], gate)
            decision = decision._replace(alerts=())
        if open_ and decision.trip is not None:
            unreviewed.append(decision)
            continue
        alerts, passes = alerts + decision.alerts, passes + decision.passes
        if decision.trip is not None:
            return decision._replace(alerts=alerts, passes=passes)
    if not (unreviewed or alerts or passes):
        return _PASS
    first = unreviewed[0] if unreviewed else _PASS
    return first._replace(alerts=alerts + first.alerts, passes=passes)


def open_reviews(guards: Sequence[Guard], context: GuardContext, gate: GateContext) -> list[OpenReview]:
    """Return the opinions on which it depends whether the subject passes; none where a guard trips in any case."""
    found = list[OpenReview]()
    for guard in guards:
        decision, open_ = _evaluate(guard, context, gate, asking=True)
        if decision.trip is not None and not open_:
            return []
        found += open_
    return found


def alerts_once(
    guard: AccountLimiter, context: GuardContext, first: Verdict | None, gate: GateContext
) -> tuple[Verdict, ...]:
    """Return the alerts of all accounts of a guard, beginning with the `first`, of which none was emitted before."""
    found, verdict, by = list[Verdict](), first, f"{gate.position.account} {gate.node} {gate.visit}"
    while verdict is not None and isinstance(verdict.limit, int | float):
        threshold = float(verdict.limit)
        balance = next((one for one in context.balances if _is_of(one, verdict, context)), None)
        if balance is None or balance.alerted >= threshold:
            break
        alert = (balance.account, balance.label, threshold)
        if alert not in gate.alerted and gate.services.ledger.alert_once(balance, threshold, by):
            found.append(verdict)
        gate.alerted.add(alert)
        balances = tuple(replace(one, alerted=threshold) if one is balance else one for one in context.balances)
        context = replace(context, balances=balances)
        verdict = alert_of(guard, context)
    return tuple(found)


def _is_of(balance: Balance, verdict: Verdict, context: GuardContext) -> bool:
    return balance.label == verdict.account if verdict.account else balance.account == context.account


def _evaluate(guard: Guard, context: GuardContext, gate: GateContext, *, asking: bool = False) -> _Evaluation:
    """Evaluate one guard. While `asking`, nothing passes for want of an opinion."""
    if isinstance(guard, AnyOf):
        return _evaluate_any(guard, context, gate, asking=asking)
    if isinstance(context.subject, Result) and reads_sources(guard):
        try:
            context = replace(context, sources=_sources(guard, context.subject, gate))
        except (Exception, SystemExit) as error:  # a source that cannot be read must not let the subject pass
            reason = f"guard {name_of(guard)!r} could not read its sources: {error_text(error)}"
            return _Evaluation(GuardDecision(context.verdict(guard, trips=True, reason=reason), guard.on_trip))
    return _Evaluation(*review_of(gate, guard, context, evaluate_guards([guard], context), asking=asking))


def _evaluate_any(either: AnyOf, context: GuardContext, gate: GateContext, *, asking: bool) -> _Evaluation:
    parts = list[_Evaluation]()

    def judge(part: Guard) -> Verdict:
        found = _evaluate(part, context, gate, asking=asking)
        parts.append(found)
        return next(iter((*found.decision.verdicts, *found.decision.passes)), context.verdict(part, trips=False))

    verdict = either.decide(context, judge)
    decision = GuardDecision.of(either, verdict)
    if decision.trip is None:
        return _Evaluation(decision._replace(passes=parts[-1].decision.passes))
    decision = decision._replace(trusted=all(one.decision.trusted for one in parts))
    if all(one.decision.undecided for one in parts):
        decision = decision.without_opinion()
    return _Evaluation(decision, tuple(chain.from_iterable(one.open for one in parts)))


def _sources(reader: SourceReader, result: Result, gate: GateContext) -> Mapping[str, str]:
    """Return the texts of the sources that a result names, as its guard reads them: once at each visit of the gate."""
    found: dict[str, str] = {}
    claimed: Iterable[Iterable[Evidence]] = map(evidence_of, claims_in(result.value))
    for evidence in (*result.evidence, *chain.from_iterable(claimed)):
        if evidence.source in found:
            continue
        known = (id(reader), evidence)
        if known not in gate.source_texts:
            gate.source_texts[known] = reader.read(evidence)
        text = gate.source_texts[known]
        if text is not None:
            found[evidence.source] = text
    return found
