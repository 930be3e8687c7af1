"""Shapes of injected instructions in text: documented patterns, deterministic and linear in the text. A heuristic.

What they find is incomplete: an injection in plain words has no shape (Yi et al., BIPIA, 2023, arXiv:2312.14197), and
filters are evaded (Zhan et al., 2025, arXiv:2503.00061). They come second to integrity labels; see docs/trust.md.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Collection, Iterator
from typing import Literal, NamedTuple, get_args
from unicodedata import normalize

from guardgraph.state import one_line

__all__ = ("SHAPES", "Injection", "InjectionShape", "find_injections")

InjectionShape = Literal[
    "override",
    "addressed_to_model",
    "answer_steering",
    "role_marker",
    "hidden_text",
    "exfiltration",
    "encoded",
    "tool_call",
]
SHAPES: tuple[InjectionShape, ...] = get_args(InjectionShape)
"""All shapes, in the order in which they are looked for."""
_EXCERPT = 80
_GAP = r"[^\w\n]{1,4}(?:[\w']{1,20}[^\w\n]{1,4}){0,5}"
"""Up to five words of one line."""
_LONGEST_BLOB = 20_000


class Injection(NamedTuple):
    """A place in a text that has the shape of an injected instruction."""

    shape: InjectionShape
    """What it looks like."""
    excerpt: str
    """The text there, in one line of at most 80 characters."""


def _any(*patterns: str, flags: re.RegexFlag = re.IGNORECASE) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), flags | re.MULTILINE)


_OBJECT = (
    r"(?:instructions?|prompts?|directions?|directives?|guidelines?|rules?|commands?|constraints?|safeguards?|"
    r"(?:context|conversation|text|messages?)\b(?=[^\w\n]{1,3}(?:above|before|so\b|and\b|you\b)))"
)
_OVERRIDE = _any(
    rf"\b(?<!not )(?<!n't )(?<!never )(?:ignore|disregard|forget|override|bypass|discard|neglect|"
    rf"do not follow|don't follow|stop following){_GAP}"
    rf"{_OBJECT}",
    r"\b(?:ignore|disregard|forget)[^\w\n]{1,3}(?:all|everything)[^\w\n]{1,3}(?:above|before|previous|prior|else|you)",
    r"\b(?:new|updated|revised|real|actual|hidden|secret)[^\w\n]{1,3}(?:system[^\w\n]{1,3})?"
    r"(?:instructions?|prompt|directives?)[^\w\n]{0,3}:",
    r"\bfrom now on,?[^\w\n]{1,3}(?:you(?:'re| are| will| must| should| act| answer| respond)|act as|pretend)\b",
    r"\byou are now[^\w\n]{1,3}(?:an? |in |the |acting|operating|dan\b|free|unrestricted|jailbroken)",
    r"\b(?:reveal|print|repeat|output|show|leak|disclose)" + _GAP + r"(?:system|initial|hidden|developer|original)"
    r"[^\w\n]{1,3}(?:prompt|instructions?|message)",
    r"\b(?:developer|god|jailbreak|dan|sudo|admin) mode\b[^\w\n]{1,3}(?:is|on|enabled|activated|now)",
    # The same in German, French and Spanish
    r"\b(?:ignorier\w*|vergiss|vergessen sie|missachte\w*)" + _GAP + r"(?:anweisung\w*|vorgaben|regeln|befehle?)",
    r"\b(?:ignore[rz]?|oublie[rz]?)" + _GAP + r"(?:consignes|directives|règles)",
    r"\b(?:ignor[ae]\w*|olvid[ae]\w*)" + _GAP + r"(?:instrucciones|reglas|órdenes)",
)
_MODEL = r"(?:(?:ai|llm|gpt|language)[ -])?(?:ai|a\.i\.|llm|assistant|chatbot|model|agent|gpt|claude|gemini|bot)s?"
_ADDRESSED = _any(
    rf"\b(?:attention|note|message|instructions?|important|dear|hey|hello|notice)[^\w\n]{{1,4}}(?:to|for)?[^\w\n]{{0,2}}"
    rf"(?:the |any |all |every )?{_MODEL}\b[^\w\n]{{0,3}}[:,!(]",
    rf"\b(?:if|when|as|since) you(?:'re| are)[^\w\n]{{1,3}}(?:an? |the )?(?:\w+ )?{_MODEL}\b",
    rf"\b(?:the |any )?{_MODEL}[^\w\n]{{1,3}}(?:reading|processing|summari[sz]ing|handling|analy[sz]ing) this\b",
    r"\b(?:when|before|after|while)[^\w\n]{1,3}(?:you )?(?:summari[sz]e|summari[sz]ing|process|processing|answer|"
    r"answering|respond|responding to)" + _GAP + r"(?:user|question|request|query)[^\w\n]{1,3}"
    r"(?:also|first|always|you must|make sure|do not|never|instead)",
    r"\b(?:do not|don't|never)[^\w\n]{1,3}(?:mention|tell|inform|reveal|show|disclose)"
    + _GAP
    + r"(?:to )?(?:the )?user\b",
)
_ANSWER = r"your[^\w\n]{1,3}(?:answer|response|reply|output|summary)\b"
_FAR = r"[^\w\n]{1,4}(?:[\w'./]{1,40}[^\w\n]{1,4}){0,15}?"
_STEERING = _any(
    r"\b(?:add|append|include|insert|integrate|introduce|augment|enhance|modify|alter|replace|convert|substitute|remove|"
    r"rearrange|scramble|jumble|misspell|anagram|group|combine|encode|translate|end|begin|prefix|use)\b"
    rf"{_FAR}(?:(?:in|into|to|of|from|for|with)[^\w\n]{{1,3}})?{_ANSWER}",
    rf"\b(?:provide|render|write|give){_FAR}{_ANSWER}[^\w\n]{{1,3}}(?:using|with|without|only|in|as)\b",
    rf"\b(?:in|at the end of|before)[^\w\n]{{1,3}}{_ANSWER},?[^\w\n]{{1,3}}(?:\w{{2,20}}ly[^\w\n]{{1,3}})?"
    r"(?:suggest|tease|mention|include|recommend|tell|say|add|urge|promote|advertise|link|invite|ask|claim|write)\b",
)
_MARKER = _any(
    r"<\|[a-z_]{2,30}\|>",
    r"<(?:start|end)_of_turn>",
    r"\[/?INST\]",
    r"<</?SYS>>",
    r"</?(?:system|assistant|developer|system[-_]prompt|user_query|data)>",
    r"^[>#*\s]{0,6}(?:system|assistant|developer)[ \t]*(?:message|prompt|override)?[ \t*]{0,3}:[^\S\n]*\S",
    r"^\s{0,3}#{2,4}[ \t]*(?:system|instructions?|response|assistant|human)\b[ \t]*:?[ \t]*$",
    r"^(?:human|user):[^\n]{1,400}\n{1,3}(?:assistant|ai):",
)
_TOOL_CALL = _any(
    r"</?(?:tool_call|tool_calls|function_calls?|invoke|tool_use|tool_response)\b[^>\n]{0,200}>",
    r"[\"'](?:tool_calls|function_call|tool_use)[\"'][ \t]*:[ \t]*[\[{]",
    r"\{\s{0,8}[\"'](?:name|tool|action|function)[\"']\s{0,4}:\s{0,4}[\"'][\w.\-]{1,80}[\"']\s{0,8},\s{0,8}"
    r"[\"'](?:arguments|args|parameters|input|action_input)[\"']\s{0,4}:",
    r"^[ \t]*action:[^\n]{1,100}\n[ \t]*action[ _]input:",
    r"```(?:tool_code|tool_call|tool_outputs)\b",
    r"\bCommand\([ \t]*(?:goto|update)[ \t]*=",
)
_EXFILTRATION = _any(
    r"!\[[^\]\n]{0,200}\]\([ \t]*<?https?://[^\s)>]{1,500}?(?:\?|\{|%7B|\$\{|\[)[^\s)>]{0,500}",
    r"!\[[^\]\n]{0,200}\]\([ \t]*<?(?:data|javascript|file|vbscript):",
    r"(?<!!)\[[^\]\n]{1,200}\]\([ \t]*<?(?:javascript|vbscript|data):",
    r"\]\([ \t]*<?https?://[^\s)>]{1,300}?=(?:\{|\[|<|%7B|%5B)[^\s)]{1,200}",
    r"<img\b[^>\n]{0,200}?\bsrc[ \t]*=[ \t]*[\"']?https?://[^\s\"'>]{1,300}?(?:\{|%7B|\[|=(?:secret|data|password))",
)
_BLOB = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}|(?:[0-9A-Fa-f]{2}[ :]?){24,}")
_WORDS = re.compile(r"\b[A-Za-z']{2,15}\b")

_TAGS = re.compile("[\U000e0000-\U000e007f]+")
_FLAG = re.compile("\U0001f3f4[\U000e0061-\U000e007a\U000e0030-\U000e0039]{1,6}\U000e007f")
"""The flags of England, Scotland and Wales: the only proper use of tag characters."""
_IN_A_WORD = re.compile("(?<=[A-Za-z])[\u200b\u200c\u200d\u2060\u2061-\u2064\ufeff\u180e]+(?=[A-Za-z])")
_RUN = re.compile("[\u200b\u200c\u200d\u2060-\u2064\ufeff]{12,}|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_OVERRIDE_BIDI = re.compile("[\u202d\u202e]")
_ISOLATE, _EMBED = re.compile("[\u2066-\u2068]"), re.compile("[\u202a\u202b]")
_HIDDEN = re.compile(
    "[\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef]"
)


def find_injections(text: str, shapes: Collection[InjectionShape] = SHAPES) -> tuple[Injection, ...]:
    """Return the first place of each shape in a text, in the order of `SHAPES`.

    Words are looked for in the text as a model reads it: compatibility forms are made plain, and hidden characters are
    left out.
    """
    plain = (
        text
        if text.isascii()
        else _HIDDEN.sub("", normalize("NFKC", _TAGS.sub(_untagged, text))).replace("\u2019", "'")
    )
    found = list[Injection]()
    for shape in SHAPES:
        if shape in shapes:
            place = _FINDERS[shape](text if shape == "hidden_text" else plain)
            if place is not None:
                found.append(Injection(shape, one_line(place, _EXCERPT)))
    return tuple(found)


def _plain(text: str) -> str:
    shown = normalize("NFKC", _TAGS.sub(_untagged, text)).replace("\u2019", "'")
    return _HIDDEN.sub("", shown)


def _searching(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    def search(text: str) -> str | None:
        place = pattern.search(text)
        return None if place is None else place[0]

    return search


def _hidden(text: str) -> str | None:
    """Return characters that nobody sees, written as their codes."""
    if text.isascii():
        return None
    rest = _FLAG.sub("", text)
    place = next(filter(None, (pattern.search(rest) for pattern in (_TAGS, _IN_A_WORD, _RUN, _OVERRIDE_BIDI))), None)
    if place is None:
        place = next(filter(None, map(_unclosed, rest.splitlines())), None)
    return None if place is None else f"{place[0][:8]!a}{_shown(place[0])}"


def _unclosed(line: str) -> re.Match[str] | None:
    """Return what changes the direction of the text beyond the end of its line, as in "Trojan Source" (2021)."""
    for pattern, end in ((_ISOLATE, "\u2069"), (_EMBED, "\u202c")):
        found = pattern.search(line)
        if found is not None and len(pattern.findall(line)) > line.count(end):
            return found
    return None


def _shown(tagged: str) -> str:
    words = _untagged_text(tagged)
    return f" ({words})" if words else ""


def _untagged(found: re.Match[str]) -> str:
    return _untagged_text(found[0])


def _untagged_text(tagged: str) -> str:
    """Return the ASCII text that tag characters stand for."""
    return "".join(chr(ord(char) - 0xE0000) for char in tagged if 0xE0020 <= ord(char) <= 0xE007E)


def _encoded(text: str) -> str | None:
    """Return what a long run of Base64 or hexadecimal digits stands for, where that is a sentence."""
    return next(filter(None, map(_sentence_in, _blobs(text))), None)


def _blobs(text: str) -> Iterator[str]:
    return (place[0][:_LONGEST_BLOB] for place in _BLOB.finditer(text))


def _sentence_in(blob: str) -> str | None:
    for decode in (_of_base64, _of_hex):
        words = decode(blob)
        if words is not None and len(_WORDS.findall(words)) >= 4 and " " in words:
            return words
    return None


def _of_base64(blob: str) -> str | None:
    digits = blob.rstrip("=").replace("-", "+").replace("_", "/")
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]
    try:
        return _readable(b64decode(digits + "=" * (-len(digits) % 4)))
    except (Error, ValueError):
        return None


def _of_hex(blob: str) -> str | None:
    try:
        return _readable(bytes.fromhex(blob.replace(":", " ").strip()))
    except ValueError:
        return None


def _readable(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        text = data[: error.start].decode() if error.start > len(data) - 4 else ""
    plain = sum(char.isalpha() or char in " .,;:!?'\"\n-" for char in text)
    return text if text and plain >= 0.9 * len(text) else None


_FINDERS: dict[InjectionShape, Callable[[str], str | None]] = {
    "override": _searching(_OVERRIDE),
    "addressed_to_model": _searching(_ADDRESSED),
    "answer_steering": _searching(_STEERING),
    "role_marker": _searching(_MARKER),
    "hidden_text": _hidden,
    "exfiltration": _searching(_EXFILTRATION),
    "encoded": _encoded,
    "tool_call": _searching(_TOOL_CALL),
}
