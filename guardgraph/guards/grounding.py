"""Claims that are supported by quotes from their sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from pydantic import JsonValue

from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import OnTrip, Retry
from guardgraph.guards.quotes import SourceText, flat, named_lines
from guardgraph.guards.reviewable import Question, Unreviewed, check_review
from guardgraph.state import BadGraph, Claim, ContextItem, Evidence, Gate, Result, Verdict, claims_in, evidence_of
from guardgraph.state.argument_checks import check_fields

__all__ = ("Grounding",)

_QUESTION = (
    "Does the evidence support the answer? Each statement of the answer must follow from the quotes and what is around "
    "them in their sources, without other knowledge; a quote about something else, or one that says less, does not "
    "support it."
)
_LARGEST = 100_000_000
"""Bytes; a larger file is no source."""


@dataclass(frozen=True, slots=True)
class Grounding(Composable):
    """Refuse results whose quotes are not in the declared sources, exact after normalisation, in whole words.

    `sources` is a folder, a mapping from source names to texts, or a function from a name to a text (or `None`). Of a
    folder only text files up to 100 MB are sources; links that lead out of it, and paths that do, are not.
    A quote must have at least `minimum` letters or digits. A locator of the form `12` or `12-14` (also `L12`,
    `lines 12-14`) must hold the whole quote; lines end as an editor ends them. Any other locator is not checked.
    A value without any evidence is refused; an empty one (nothing found) passes. What `flat` returns is compared: white
    space, forms of quotation marks and dashes, soft hyphens, ligatures and widths do not matter, all else does.

    Each claim in a value may have evidence of its own, which is checked too (`GroundedClaim`). A critical one must
    have some: with `critical=True` those are critical that are marked so, with a function those for which it returns
    true. An agent could leave the mark out; a function of yours decides by subject and attribute.

    That a quote exists does not mean that it supports the claim: `review` names one of the team's `reviewers`, an agent
    that judges whether the evidence entails the answer, once the quotes are found. It is given what is around each
    quote in its source. Without its opinion the result is refused, or passes with an alert with `unreviewed="pass"`.

    It lets through a quote of a source, and stops one with another number in it.
    """

    sources: str | Path | Mapping[str, str] | Callable[[str], str | None]
    minimum: int = 8
    critical: bool | Callable[[Claim], bool] = False
    on_trip: OnTrip = Retry(1)
    review: str | None = None
    unreviewed: Unreviewed = "trip"
    gates = frozenset[Gate]({"handoff"})

    def __post_init__(self) -> None:
        check_review("Grounding", self.review, self.unreviewed)
        check_fields(self, "sources", "minimum", "critical", "on_trip", at_least={"minimum": 1})
        if self.sources == "":
            raise BadGraph("`sources` is an empty path; name a folder")

    def read(self, evidence: Evidence) -> str | None:
        """Return the text of the evidence's source; the gate calls it, since a guard reads nothing.

        What a function given as `sources` raises is not caught here.
        """
        if isinstance(self.sources, Mapping):
            return self.sources.get(evidence.source)
        if callable(self.sources):
            return self.sources(evidence.source)
        try:
            return _read(Path(self.sources), evidence.source)
        except (OSError, RuntimeError, ValueError):  # a name that no file can have, a cycle of links, no permission
            return None

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip on the first quote that is not in its source."""
        result: Result = context.subject
        claims = claims_in(result.value)
        bare = next((claim for claim in claims if not evidence_of(claim) and self._is_critical(claim)), None)
        if bare is not None:
            stated = flat(f"{bare.subject}: {bare.attribute}: {bare.value}")[:200]
            reason = f"the critical claim {stated!r} has no evidence of its own: quote its source verbatim"
            return context.verdict(self, trips=True, reason=reason)
        cited = _cited(result)
        if not cited:
            reason = "the answer names no evidence: quote its sources verbatim"
            return context.verdict(self, trips=_makes_a_claim(result.value), reason=reason)
        named = {evidence.source for evidence in cited}
        texts = {name: SourceText.of(context.sources[name]) for name in named if name in context.sources}
        wrong = next(filter(None, (self._objection(e, texts.get(e.source)) for e in cited)), None)
        return context.verdict(self, trips=wrong is not None, reason=wrong or "", measured=len(cited))

    def asks(self, context: GuardContext, verdict: Verdict) -> Question | None:
        """Return whether the evidence entails the answer, with what is around each quote; `None` without evidence."""
        cited = [] if verdict.action == "trip" else list(dict.fromkeys(_cited(context.subject)))
        items = tuple(
            ContextItem(
                kind="background",
                title=f"excerpt of {evidence.source!r} around a quote",
                sender=evidence.source,
                value=SourceText.of(context.sources[evidence.source]).around(evidence.quote),
            )
            for evidence in cited
            if evidence.source in context.sources
        )
        return Question(_QUESTION, items) if cited else None

    def _is_critical(self, claim: Claim) -> bool:
        return (
            bool(self.critical(claim))
            if callable(self.critical)
            else self.critical and getattr(claim, "critical", False)
        )

    def _objection(self, evidence: Evidence, text: SourceText | None) -> str | None:
        shown = f"{flat(evidence.quote)[:200]!r}"
        if text is None:
            return f"{evidence.source!r} is not one of the sources, or cannot be read"
        if sum(map(str.isalnum, evidence.quote)) < self.minimum:
            return f"the quote {shown} is too short to prove anything"
        if not text.holds(evidence.quote):
            return f"the quote {shown} is not in {evidence.source!r}"
        lines = named_lines(evidence.locator)
        if lines is not None and not text.holds(evidence.quote, lines):
            return f"the quote {shown} is not in lines {evidence.locator} of {evidence.source!r}"
        return None


def _cited(result: Result) -> tuple[Evidence, ...]:
    """Return the evidence of a result, and that of the claims in its value."""
    return (*result.evidence, *chain.from_iterable(map(evidence_of, claims_in(result.value))))


def _makes_a_claim(value: JsonValue) -> bool:
    """Return whether there is a claim in `value`; zero and `False` are claims, empty texts and collections are not."""
    if isinstance(value, str):
        return bool(value.strip())
    if isinstance(value, dict):
        return any(map(_makes_a_claim, value.values()))
    if isinstance(value, list):
        return any(map(_makes_a_claim, value))
    return value is not None


def _read(folder: Path, name: str) -> str | None:
    root = folder.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root) or not path.is_file() or path.stat().st_size > _LARGEST:
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    return None if "\0" in text else text
