"""Claims: verbatim sentences of documents that answer a question."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from guardgraph.state import Evidence
from guardgraph.text.passages import Passage
from guardgraph.text.sentences import Sentence, sentences_of
from guardgraph.text.terms import WORD, content_words, stem, terms_of

__all__ = ("Claim", "claims_of", "question_weights")

_ALIKE = 0.6
"""Two sentences that share this part of their terms (Jaccard) are duplicates."""
_LEAST = 0.2
"""A claim scores at least this; one that shares all of the question's weight scores 1."""
_SHARED = 2
"""A claim and the headings above it share at least so many terms of the question, or all if it has fewer."""
_NEAR = 0.4
"""A claim has at least this part of the best score."""
_FALLBACK = 2
"""So many claims that share only one term are returned where no claim shares more."""
_IN_CODE = 0.4
"""The weight of a term that is in code only: a path or a name that contains the word."""
_ABOUT = 0.5
"""The additional weight of a term with which the sentence begins: it is its subject."""
_ENOUGH = 0.3
"""The coverage of these claims; words that are nowhere in the documents weigh the most."""
_POINTER = 0.5
"""The factor for an entry of a table of contents, compared with the prose that it points to."""
_ROW = 0.8
"""The factor for the row of a table, compared with a sentence."""
_BASE = 0.5
"""The weight of any word before its rarity is added; in a few short pages rarity alone means little."""
_CODE = re.compile(r"`([^`]*)`")
_ASIDE = 0.3
"""The factor for a term of the wider question, compared with one of the question itself."""
_HEADING = 0.5
"""The factor for a term that is in the headings above a sentence and not in it."""


class Claim(NamedTuple):
    """One sentence of a document that answers a question."""

    text: str
    """The sentence on one line, without marks."""
    evidence: Evidence
    """The document, the verbatim sentence, and its lines as `12` or `12-13`."""
    coverage: float
    """Which part (0 to 1) of the question's weight it shares; what only the headings above share counts half."""


class _Candidate(NamedTuple):
    claim: Claim
    score: float
    terms: frozenset[str]
    shared: int


def question_weights(question: str, *, rarity: Callable[[Iterable[str]], Mapping[str, float]]) -> dict[str, float]:
    """Return the weight of each term of `question`; terms are stems.

    `rarity` returns how rare words are, as `Library.weights` does.
    """
    weights: dict[str, float] = {}
    for word, rare in rarity(dict.fromkeys(content_words(question))).items():
        weights[stem(word)] = max(weights.get(stem(word), 0.0), _BASE + rare)
    return weights


def claims_of(
    passages: Sequence[Passage],
    weights: Mapping[str, float],
    *,
    aside: Mapping[str, float] | None = None,
    limit: int = 5,
) -> list[Claim]:
    """Return at most `limit` different claims, the best first, scored by the weight of the terms they share.

    Equal scores keep the order of `passages`. A claim that shares too little of the question is left out. The terms of
    `aside`, the wider question, change the order of claims; they add none.
    """
    if limit < 1:
        raise ValueError(f"`limit` must be at least 1, got {limit!r}")
    beside = {term: _ASIDE * weight for term, weight in (aside or {}).items() if term not in weights}
    every = [
        _candidate(passage, sentence, weights, beside) for passage in passages for sentence in sentences_of(passage)
    ]
    fitting = [one for one in every if one.shared >= min(_SHARED, len(weights))]
    near = [one for one in every if one.claim.coverage >= _ENOUGH]
    return _best(fitting, limit) or _best(near, min(limit, _FALLBACK))


def _best(candidates: Sequence[_Candidate], limit: int) -> list[Claim]:
    """Return the best of `candidates` without duplicates."""
    picked: list[_Candidate] = []
    least = max([_LEAST, *(_NEAR * one.score for one in candidates)])
    for candidate in sorted(candidates, key=lambda one: -one.score):
        if len(picked) == limit or candidate.score < least:
            break
        if not any(_alike(candidate.terms, other.terms) for other in picked):
            picked.append(candidate)
    return [candidate.claim for candidate in picked]


def _candidate(
    passage: Passage, sentence: Sentence, weights: Mapping[str, float], beside: Mapping[str, float]
) -> _Candidate:
    own_text = sentence.cells or sentence.text
    terms = terms_of(own_text)
    lending = f"{passage.heading} {sentence.heads}".strip()
    above = terms_of(lending) - terms if lending else frozenset[str]()
    prose = _CODE.sub(_word_or_nothing, own_text)
    outside_code = terms_of(prose)
    own, further = (_shared_weight(some, terms, outside_code, above) for some in (weights, beside))
    subject = WORD.search(prose)
    about = _ABOUT * weights.get(stem(subject[0]), 0.0) if subject else 0.0
    length = min(1.0, len(terms) / 8) * min(1.0, 40 / max(len(terms), 1))
    kind = _POINTER if sentence.is_pointer else _ROW if sentence.cells else 1.0
    total, wider = sum(weights.values()), sum(beside.values())
    score = (own + further + about) / (total + wider) * (0.7 + 0.3 * length) * kind if own else 0.0
    coverage = min(1.0, own / total) if own else 0.0
    evidence = Evidence(source=passage.source, quote=sentence.quote, locator=sentence.locator)
    return _Candidate(Claim(sentence.text, evidence, coverage), score, terms, len(weights.keys() & (terms | above)))


def _shared_weight(
    weights: Mapping[str, float], terms: frozenset[str], outside_code: frozenset[str], above: frozenset[str]
) -> float:
    """Return the shared part of `weights`; terms `above` the sentence count only if it shares any itself."""
    own = sum(weight * (1.0 if term in outside_code else _IN_CODE) for term, weight in weights.items() if term in terms)
    lent = sum(weight for term, weight in weights.items() if term in above)
    return own + _HEADING * lent if own else 0.0


def _word_or_nothing(code: re.Match[str]) -> str:
    """Return the content of `code` if it is one word."""
    return code[1] if code[1].removesuffix("()").isalnum() else " "


def _alike(first: frozenset[str], second: frozenset[str]) -> bool:
    together = first | second
    return bool(together) and len(first & second) / len(together) >= _ALIKE
