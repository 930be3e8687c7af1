"""A question cut into what it asks."""

from __future__ import annotations

import re

from guardgraph.research.terms import content_words, terms_of

__all__ = ("parts_of",)

_MOST = 5
_REFERS_BACK = re.compile(r"\b(?:it|them|they)\b|\bhow \w+$", re.IGNORECASE)
_LISTED = re.compile(r"^\d{1,2}[.)]\s+")
_ASKS = r"(?:how|what|when|where|which|who|whose|whom|why)\b"
_PREPOSITION = (
    r"(?:about|after|at|before|by|during|for|from|in|into|of|on|per|since|through|till|to|under|until|with|within)"
)
_PERSON = r"(?:anybody|anyone|everybody|everyone|he|i|it|nobody|she|somebody|someone|there|they|we|you)\b"
_NOUN = r"(?:a|all|an|any|each|every|her|his|its|my|no|our|some|that|the|their|these|this|those|your)\b"
_MODAL = r"(?:can|could|may|might|must|shall|should|will|would)\s+"
_BE = r"(?:am|are|is|was|were)\s+"
_HELPER = r"(?:did|do|does|had|has|have)\s+"
_NO_SUBJECT = r"(?:also|always|be|been|have|never|not|only|then)\b"
_BEGINS = rf"(?:{_PREPOSITION}\s+)?{_ASKS}|(?:{_MODAL}|{_BE}|{_HELPER}){_PERSON}|{_MODAL}{_NOUN}"
"""What begins a question behind `and`. `do the …` does not: it may go on with what came before."""
_BEGINS_AFTER_COMMA = rf"{_BEGINS}|{_HELPER}{_NOUN}|(?:{_MODAL}|{_BE})(?!{_NO_SUBJECT})"
_PART = re.compile(
    r"[?!;:]+(?=\s|$)|(?<!\b\w)(?<!\b\d\d)\.+(?=\s|$)|\s+[-\u2013\u2014]+\s+|\n+"
    rf"|,\s+(?:and|or|but)\s+(?={_BEGINS_AFTER_COMMA})|\s+(?:and|or|but)\s+(?={_BEGINS})|,\s+(?={_ASKS})",
    re.IGNORECASE,
)
"""Between the parts: where a sentence ends (not behind a number or an initial), or something else is asked."""


def parts_of(question: str) -> list[str]:
    """Return what `question` asks, part by part; the last one holds all that is too much.

    A part that refers back ("who pays for it?", "for how long?") says too little alone: it stays with the one before.
    """
    parts: list[str] = []
    found = [_LISTED.sub("", part.strip()).strip(" \t,.?!;:\"'") for part in _PART.split(question)]
    for part in _distinct(found, question):
        if parts and _REFERS_BACK.search(part):
            parts[-1] += f", {part}"
        else:
            parts.append(part)
    most = _MOST - 1
    return parts if len(parts) <= _MOST else [*parts[:most], "; ".join(parts[most:])]


def _distinct(parts: list[str], question: str) -> list[str]:
    """Return the parts that say something, and neither the same as one before nor as the whole question."""
    meaning = set(content_words(question))
    seen = {terms_of(question)}
    kept: list[str] = []
    for part in parts:
        terms = terms_of(part)
        if terms not in seen and meaning.intersection(content_words(part)):
            seen.add(terms)
            kept.append(part)
    return kept
