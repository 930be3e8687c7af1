"""Whether an answer contains the facts that its case expects."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from guardgraph.evals.case import Case, Score
from guardgraph.state import Outcome

__all__ = ("FactsFound",)


@dataclass(frozen=True, slots=True)
class FactsFound:
    """Pass an outcome whose value contains every expected fact; the score is the share of facts that it contains.

    A fact is found where its words follow each other, in any case and with any white space, as whole words:
    `5` is not found in `15`. All texts and numbers of the value are searched, but not those under a key in
    `ignore`: a quotation is not yet an answer. A case without expected facts is not counted.
    """

    name: str = "facts_found"
    ignore: tuple[str, ...] = ("citations",)

    def __call__(self, case: Case, outcome: Outcome) -> Score | None:
        """Score the share of expected facts that the outcome's value contains."""
        if not case.expected_facts:
            return None
        text = "\n".join(map(_plain, _texts_in(outcome.value, self.ignore)))
        missing = [fact for fact in case.expected_facts if not _pattern_of(fact).search(text)]
        reason = f"missing: {', '.join(map(repr, missing))}" if missing else ""
        value = (len(case.expected_facts) - len(missing)) / len(case.expected_facts)
        return Score(metric=self.name, value=value, passed=not missing, reason=reason)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _pattern_of(fact: str) -> re.Pattern[str]:
    words = _plain(fact)
    before = r"(?<!\w)" if re.match(r"\w", words) else ""
    after = r"(?!\w)" if re.search(r"\w$", words) else ""
    return re.compile(before + re.escape(words) + after)


def _texts_in(value: JsonValue, ignore: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = [part for key, part in value.items() if key not in ignore]
    if isinstance(value, list):
        for part in value:
            yield from _texts_in(part, ignore)
    elif value is not None:
        yield str(value)
