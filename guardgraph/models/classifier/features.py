"""The terms of a text, and their TF-IDF weights; NumPy is loaded here, once it is needed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from guardgraph.state import MissingExtra
from guardgraph.text.terms import WORD

__all__ = ("numpy", "terms_in", "tfidf")


def numpy() -> Any:
    """Return NumPy. Raises `MissingExtra` where it is not installed."""
    try:
        import numpy
    except ImportError as error:
        raise MissingExtra("numpy", extra="routing", needed_for="a text classifier") from error
    return numpy


def terms_in(text: str) -> list[str]:
    """Return the words of a text in lower case, and each pair of neighbours, as often as they occur.

    >>> terms_in("Freeze my card!")
    ['freeze', 'my', 'card', 'freeze my', 'my card']
    """
    words = [hit.group() for hit in WORD.finditer(text.lower())]
    return [*words, *map(" ".join, pairwise(words))]


def tfidf(text: str, vocabulary: Mapping[str, int], idf: Sequence[float]) -> dict[int, float]:
    """Return the weights of the terms of a text that are in `vocabulary`, by their index; the vector has length 1.

    A term that occurs n times has the term frequency 1 + ln(n) (sublinear scaling: Manning, Raghavan and Schütze,
    "Introduction to Information Retrieval", 2008, section 6.4.1), times its inverse document frequency `idf`.
    """
    counts = Counter(vocabulary[term] for term in terms_in(text) if term in vocabulary)
    weights = {index: (1 + math.log(count)) * float(idf[index]) for index, count in counts.items()}
    length = math.sqrt(sum(weight * weight for weight in weights.values()))
    return {index: weight / length for index, weight in weights.items()} if length else {}
