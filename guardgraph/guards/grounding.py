"""Claims that are supported by quotes from their sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import OnTrip, Retry
from guardgraph.guards.quotes import SourceText, flat, named_lines
from guardgraph.state import BadGraph, Evidence, Gate, Result, Verdict
from guardgraph.state.argument_checks import check_fields

__all__ = ("Grounding",)

_LARGEST = 100_000_000
"""Bytes; a larger file is no source."""


@dataclass(frozen=True, slots=True)
class Grounding(Composable):
    """Refuse results whose quotes are not in the declared sources, verbatim but for white space, in whole words.

    `sources` is a folder, a mapping from source names to texts, or a function from a name to a text (or `None`). Of a
    folder only text files up to 100 MB are sources; links that lead out of it, and paths that do, are not.
    A quote must have at least `minimum` letters or digits. A locator of the form `12` or `12-14` (also `L12`,
    `lines 12-14`) must hold the whole quote; lines end as an editor ends them. Any other locator is not checked.
    A value without any evidence is refused; an empty one (nothing found) passes.
    """

    sources: str | Path | Mapping[str, str] | Callable[[str], str | None]
    minimum: int = 8
    on_trip: OnTrip = Retry(1)
    gates = frozenset[Gate]({"handoff"})

    def __post_init__(self) -> None:
        check_fields(self, at_least={"minimum": 1})
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
        if not result.evidence:
            reason = "the answer names no evidence: quote its sources verbatim"
            return context.verdict(self, trips=_makes_a_claim(result.value), reason=reason)
        named = {evidence.source for evidence in result.evidence}
        texts = {name: SourceText.of(context.sources[name]) for name in named if name in context.sources}
        wrong = next(filter(None, (self._objection(e, texts.get(e.source)) for e in result.evidence)), None)
        return context.verdict(self, trips=wrong is not None, reason=wrong or "", measured=len(result.evidence))

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
