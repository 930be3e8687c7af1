"""The words of a question or a sentence that carry its meaning."""

from __future__ import annotations

import re

__all__ = ("WORD", "content_words", "stem", "terms_of")

WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
"""One word: letters and digits, with an inner apostrophe."""
_EMPTY_WORDS = """
    a about across after all along also am among an and any are around as at be because been before being beside
    besides between beyond both but by can cannot compare could describe did do does doing done during each either
    else every explain for from get gets give given gives had happen happens has have having he her here him his how
    i if in inside into is it its itself just kind let like list made make makes many may me mean means might more
    most much must my name no nor not of off on one only onto or other our out outside over own per please rather
    say says she should show since so some such take tell than that the their them then there these they thing
    things this those through to too toward towards under until up upon us use used uses using very was way we were
    what when where whether which while who whom whose why will with within without work works would yet you your
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())
_ENDINGS = ("ations", "ation", "ings", "ing", "edly", "ies", "ied", "ers", "ed", "es", "ly", "er", "s")


def content_words(text: str) -> list[str]:
    """Return the words of `text` that carry meaning, in order, in lower case; all its words if none does."""
    words = [match.group().lower() for match in WORD.finditer(text)]
    return [word for word in words if word not in _EMPTY] or words


def stem(word: str) -> str:
    """Return `word` without its English ending, so that forms of one word are equal; short words stay as they are.

    >>> stem("budgets") == stem("budget"), stem("delegation") == stem("delegated")
    (True, True)
    """
    word = word.lower().partition("'")[0].partition("\u2019")[0]
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)] + ("y" if ending in {"ies", "ied"} else "")
            break
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        return word[:-1]
    word = word.removesuffix("e") if len(word) > 4 else word
    return word.removesuffix("at") if len(word) > 5 else word


def terms_of(text: str) -> frozenset[str]:
    """Return the stems of the words of `text` that carry meaning."""
    return frozenset(stem(word) for word in content_words(text))
