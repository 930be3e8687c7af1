"""Whether a judge follows something other than the quality of answers: their majority, position or length. Pure.

All tests are exact (binomial, or hypergeometric), so they hold for few records too, though few rarely show a bias. A
bias counts as found where the p value is below `alpha` and the effect is at least `least`: with many records a
difference that does not matter becomes significant, with few a large one is chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb
from typing import Any

from guardgraph.nodes.decisions.ballots import Key, canonical
from guardgraph.state import BadInput

__all__ = ("BiasReport", "JudgeRecord", "agreement_bias", "position_bias", "record_of", "verbosity_bias")


@dataclass(frozen=True, slots=True)
class JudgeRecord:
    """One decision of a judge. Candidates are named by any text that is unique in the record."""

    chosen: str
    """The candidate that the judge has chosen."""
    support: Mapping[str, int]
    """How many of the panel gave each candidate; all candidates are in it."""
    correct: str | None = None
    """The candidate that is right, if that is known."""
    blind: str | None = None
    """What the same judge chooses of the same candidates where it cannot know their support, if that was asked."""
    lengths: Mapping[str, int] = field(default_factory=dict[str, int])
    """The length of each candidate, in any unit."""

    @property
    def majority(self) -> str | None:
        """The candidate with the most support; `None` where several have."""
        return _largest(self.support)

    @property
    def longest(self) -> str | None:
        """The longest candidate; `None` where several are."""
        return _largest(self.lengths)


@dataclass(frozen=True, slots=True)
class BiasReport:
    """What records show about one bias of a judge."""

    bias: str
    """`agreement`, `position` or `verbosity`."""
    found: bool
    effect: float
    """The difference of two rates, from -1 to 1; 0 is no bias. The function that makes the report defines it."""
    p_value: float
    """How probable at least this effect is without a bias; 1 where no record can show any."""
    n: int
    """The number of records that can show the bias."""
    test: str
    """Which test, and what was counted."""
    alike: float | None = None
    """How probable it is that two of a panel gave the same candidate, over all records; `None` if unknown."""

    def __str__(self) -> str:
        """Describe it in one line."""
        found = "found" if self.found else "not found"
        alike = "" if self.alike is None else f"; two of the panel agree in {self.alike:.0%}"
        figures = f"effect {self.effect:+.3f}, p = {self.p_value:.2g}, n = {self.n}"
        return f"{self.bias} bias {found}: {figures}; {self.test}{alike}"


def agreement_bias(
    records: Iterable[JudgeRecord], *, equally_hard: bool = False, alpha: float = 0.01, least: float = 0.1
) -> BiasReport:
    """Return whether a judge follows the majority of the panel.

    Records need `blind`, what the same judge chooses without the support (or by the totals of its own scores). The
    effect is the part of records in which the judge, once it knows the support, changes to the majority, less the part
    in which it changes away from it. Without a bias both are equally frequent, however hard the cases are and however
    often the judge changes its mind (exact McNemar test, one-sided).

    With `equally_hard` the records need `correct` instead, and the effect is how often the judge chooses the majority
    where that is wrong, less how often it errs where the majority is right (Fisher's exact test, one-sided). This
    supposes that cases are as hard for the judge where the majority is wrong as elsewhere. With real answers they
    rarely are: what is hard for the panel is hard for a judge as well, who then seems to follow it.

    Raises `BadInput` for records without what is needed.
    """
    given = [*records]
    if equally_hard:
        return _pull("agreement", given, lambda one: one.majority, "the majority", alpha, least, _alike(given))
    paired = [one for one in given if one.blind is not None and one.majority is not None]
    if not paired:
        raise BadInput(
            "no record can show a bias to the majority: each needs `blind`, what the judge chooses without the support "
            "(or `correct`, with `equally_hard=True`), and one candidate with the most support"
        )
    toward = sum(one.chosen == one.majority != one.blind for one in paired)
    away = sum(one.blind == one.majority != one.chosen for one in paired)
    what = f"exact McNemar test: {toward} changes to the majority, {away} away from it"
    effect, p_value = (toward - away) / len(paired), _binomial_tail(toward, toward + away)
    return _report("agreement", effect, p_value, len(paired), what, alpha, least, _alike(given))


def verbosity_bias(records: Iterable[JudgeRecord], *, alpha: float = 0.01, least: float = 0.1) -> BiasReport:
    """Return whether a judge prefers the longest candidate, from records with `correct` and `lengths`.

    The effect is how often the judge chooses the longest candidate where that is wrong, less how often it errs where
    the longest is right (Fisher's exact test, one-sided). Raises `BadInput` for records without these.
    """
    return _pull("verbosity", [*records], lambda one: one.longest, "the longest", alpha, least, None)


def position_bias(
    chosen: Iterable[tuple[str | None, str | None]], *, alpha: float = 0.01, least: float = 0.1
) -> BiasReport:
    """Return whether a judge prefers a position, from pairs of verdicts on two candidates shown in both orders.

    A pair is what was chosen when `a` was shown first, and what was chosen when `b` was, each `"a"` or `"b"`; anything
    else is a tie, and leaves the pair out. The effect is the part of pairs in which the first was chosen both times,
    less the part in which the second was (exact binomial test of these two numbers, two-sided). Without a bias towards
    a position both are equally frequent, however often the judge changes its mind.
    """
    pairs = [(one, two) for one, two in chosen if one in ("a", "b") and two in ("a", "b")]
    first, second = pairs.count(("a", "b")), pairs.count(("b", "a"))
    p_value = min(1.0, 2 * _binomial_tail(max(first, second), first + second))
    what = f"exact binomial test: of {first + second} verdicts that change with the order, {first} prefer the first"
    return _report("position", (first - second) / max(len(pairs), 1), p_value, len(pairs), what, alpha, least, None)


def record_of(
    decision: Mapping[str, Any], *, correct: Any = None, blind: Any = None, key: Key | None = None
) -> JudgeRecord:
    """Return the record of a consensus: `decision` is the channel of that name in its state.

    `correct` and `blind` are answers, compared as the votes are; `key` is that of the consensus. Raises `BadInput`
    where a new value was written.
    """
    labels = decision["chosen"]
    if len(labels) != 1:
        raise BadInput(f"the decision is no choice of one candidate, but rests on {len(labels)}")
    names = {label: canonical(value, key) for label, value in decision["candidates"].items()}
    return JudgeRecord(
        chosen=names[labels[0]],
        support={names[label]: count for label, count in decision["support"].items()},
        correct=None if correct is None else canonical(correct, key),
        blind=None if blind is None else canonical(blind, key),
        lengths={names[label]: len(canonical(value)) for label, value in decision["candidates"].items()},
    )


def _pull(
    bias: str,
    records: Sequence[JudgeRecord],
    feature: Callable[[JudgeRecord], str | None],
    name: str,
    alpha: float,
    least: float,
    alike: float | None,
) -> BiasReport:
    """Compare how often a candidate with a feature is chosen where it is wrong with errors where it is right."""
    known = [one for one in records if one.correct is not None and feature(one) is not None]
    if not known:
        raise BadInput(f"no record can show a bias to {name}: each needs `correct`, and one candidate that is {name}")
    wrong = [one for one in known if feature(one) != one.correct]
    followed = sum(one.chosen == feature(one) for one in wrong)
    erred = sum(one.chosen != one.correct for one in known if feature(one) == one.correct)
    right = len(known) - len(wrong)
    effect = followed / len(wrong) - erred / right if wrong and right else 0.0
    p_value = _hypergeometric_tail(followed, len(wrong), followed + erred, len(known))
    what = (
        f"Fisher's exact test: it chooses {name} in {followed} of {len(wrong)} records where that is wrong, and errs "
        f"in {erred} of {right} where it is right"
    )
    return _report(bias, effect, p_value if wrong and right else 1.0, len(known), what, alpha, least, alike)


def _report(
    bias: str, effect: float, p_value: float, n: int, test: str, alpha: float, least: float, alike: float | None
) -> BiasReport:
    return BiasReport(bias, p_value < alpha and abs(effect) >= least, effect, p_value, n, test, alike)


def _largest(counts: Mapping[str, int]) -> str | None:
    most = [name for name, count in counts.items() if count == max(counts.values())]
    return most[0] if len(most) == 1 else None


def _alike(records: Sequence[JudgeRecord]) -> float | None:
    """Return the mean probability that two panelists, drawn without replacement, gave the same candidate."""
    panels = [[*one.support.values()] for one in records if sum(one.support.values()) > 1]
    pairs = [sum(count * (count - 1) for count in panel) / (sum(panel) * (sum(panel) - 1)) for panel in panels]
    return sum(pairs) / len(pairs) if pairs else None


def _binomial_tail(successes: int, trials: int) -> float:
    """Return the probability of at least so many successes in fair trials."""
    return sum(comb(trials, count) for count in range(successes, trials + 1)) / 2**trials


def _hypergeometric_tail(marked: int, drawn: int, all_marked: int, total: int) -> float:
    """Return the probability that at least so many of the `drawn` are marked, of `all_marked` in `total`."""
    ways = range(marked, min(drawn, all_marked) + 1)
    return sum(comb(all_marked, count) * comb(total - all_marked, drawn - count) for count in ways) / comb(total, drawn)
