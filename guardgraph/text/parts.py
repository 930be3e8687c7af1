"""A question cut into its parts."""

from __future__ import annotations

import re

from guardgraph.text.terms import content_words, terms_of

__all__ = ("parts_of",)

_MAX_PARTS = 5
_REFERS_BACK = re.compile(r"\b(?:it|them|they)\b|\bhow \w+$", re.IGNORECASE)
_LIST_NUMBER = re.compile(r"^\d{1,2}[.)]\s+")
_QUESTION = r"(?:how|what|when|where|which|who|whose|whom|why)\b"
_PREPOSITION = (
    r"(?:about|after|at|before|by|during|for|from|in|into|of|on|per|since|through|till|to|under|until|with|within)"
)
_PERSON = r"(?:anybody|anyone|everybody|everyone|he|i|it|nobody|she|somebody|someone|there|they|we|you)\b"
_NOUN = r"(?:a|all|an|any|each|every|her|his|its|my|no|our|some|that|the|their|these|this|those|your)\b"
_MODAL = r"(?:can|could|may|might|must|shall|should|will|would)\s+"
_BE = r"(?:am|are|is|was|were)\s+"
_HELPER = r"(?:did|do|does|had|has|have)\s+"
_NO_SUBJECT = r"(?:also|always|be|been|have|never|not|only|then)\b"
_START = rf"(?:{_PREPOSITION}\s+)?{_QUESTION}|(?:{_MODAL}|{_BE}|{_HELPER}){_PERSON}|{_MODAL}{_NOUN}"
"""The start of a question after `and`. `do the …` is none: it may continue what came before."""
_START_AFTER_COMMA = rf"{_START}|{_HELPER}{_NOUN}|(?:{_MODAL}|{_BE})(?!{_NO_SUBJECT})"
_PART = re.compile(
    r"[?!;:]+(?=\s|$)|(?<!\b\w)(?<!\b\d\d)\.+(?=\s|$)|\s+[-\u2013\u2014]+\s+|\n+"
    rf"|,\s+(?:and|or|but)\s+(?={_START_AFTER_COMMA})|\s+(?:and|or|but)\s+(?={_START})|,\s+(?={_QUESTION})",
    re.IGNORECASE,
)
"""Between the parts: the end of a sentence (not after a number or an initial), or the start of another question."""


def parts_of(question: str) -> list[str]:
    """Return the parts of `question`, at most five; the last one contains the rest.

    A part that refers back ("who pays for it?", "for how long?") is not clear alone: it stays with the one before.
    """
    parts: list[str] = []
    found = [_LIST_NUMBER.sub("", part.strip()).strip(" \t,.?!;:\"'") for part in _PART.split(question)]
    for part in _distinct(found, question):
        if parts and _REFERS_BACK.search(part):
            parts[-1] += f", {part}"
        else:
            parts.append(part)
    rest = parts[_MAX_PARTS - 1 :]
    return [*parts[: _MAX_PARTS - 1], "; ".join(rest)] if rest else parts


def _distinct(parts: list[str], question: str) -> list[str]:
    """Return the parts with meaning that are neither equal to an earlier one nor to the whole question."""
    meaning, whole = set(content_words(question)), terms_of(question)
    by_terms: dict[frozenset[str], str] = {}
    for part in parts:
        if meaning.intersection(content_words(part)):
            by_terms.setdefault(terms_of(part), part)
    return [part for terms, part in by_terms.items() if terms != whole]
