"""The documents that stand in a prompt, read back out of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ("Passage", "Sentence", "passages_in", "sentences_of")

_ELEMENT = re.compile(r"<(document|passage|source|evidence)\b([^<>]{0,2000})>")
_ATTRIBUTE = re.compile(r"(\w+)\s*=\s*\"([^\"]*)\"")
_HEADED = re.compile(
    r"^[ \t]*(?:\[(?P<cited>[^\]\n]{0,300}?[./][^\]\n:]{0,300})(?::(?P<cited_at>\d+(?:-\d+)?))?\]"
    r"|(?:[Ss]ource|[Dd]ocument|[Ff]ile):[ \t]*(?P<named>[^\n,]+?)(?:,[ \t]*lines?[ \t]*(?P<named_at>\d+(?:-\d+)?))?$)"
    r"[ \t]*\n?(?P<text>.*?)(?=^[ \t]*\[|^[ \t]*(?:[Ss]ource|[Dd]ocument|[Ff]ile):|^<|\Z)",
    re.DOTALL | re.MULTILINE,
)
_MARKED = r"[ \t]*(?:[-*+>][ \t]|\d+[.)][ \t]|#|\||```)"
_BLOCK = re.compile(
    rf"^[ \t]*#[^\n]*|^[^\n]*\S[^\n]*\n?(?:^(?!{_MARKED})[^\n]*\S[^\n]*\n?)*",
    re.MULTILINE,
)
_SENTENCE = re.compile(r"\S.*?(?:[.!?][\"'`)\]*]*(?=\s|\Z)|\Z)", re.DOTALL)
_MARK = re.compile(r"(?:#+|[-*+]|\d+[.)]|>)[ \t]+")
_OPENING = re.compile(r"\{\s*\"|\[\s*\{")
_MOST_FAILURES = 500
"""After so many things that only look like JSON a prompt is not searched for more: each costs a walk over its rest."""
_NAMES = ("source", "name", "path", "file", "title", "id")
_PLACES = ("locator", "lines", "line")
_LABELS = frozenset({"about", "from", "goal", "id", "sender", "title", "url"})
"""What names a piece of JSON data and says nothing of its own."""
_TEXTS = ("quote", "text", "content", "passage", "snippet")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document, verbatim."""

    source: str
    """The name of the document."""
    text: str
    """Its words."""
    locator: str = ""
    """Where it stands: lines as `12` or `12-14`, or any other mark."""


class Sentence(NamedTuple):
    """One sentence of a passage, verbatim."""

    text: str
    """Its words, with the line breaks of its source."""
    source: str
    """The name of its document; empty for words of the prompt itself."""
    locator: str
    """Its lines where the passage names its own, else the passage's mark."""


def passages_in(text: str) -> list[Passage]:
    """Return the documents in a prompt, in their order, each once.

    It knows elements (`<document source="a.md" lines="12-14">…</document>`), headed pieces (`[a.md:12] …` or
    `Source: a.md, lines 12-14`) and JSON objects with `source` and a `quote`, `text` or `content`. Other texts in JSON
    are passages without a source, unless the name of their field looks like a file.
    """
    elements, rest = _elements(text)
    objects, rest = _objects(rest)
    found = [*elements, *objects, *_headed(rest)]
    return list(dict.fromkeys(found))


def sentences_of(passage: Passage) -> list[Sentence]:
    """Return the sentences of `passage`, verbatim, each with its own lines where the passage names its first line."""
    first = re.match(r"\d+", passage.locator)
    start = int(first.group()) if first else None
    sentences: list[Sentence] = []
    counted, line = 0, start or 0
    for begin, end in _spans(passage.text):
        locator = passage.locator
        if start is not None:
            line += passage.text.count("\n", counted, begin)
            last, counted = line + passage.text.count("\n", begin, end), begin
            locator = str(line) if line == last else f"{line}-{last}"
        sentences.append(Sentence(passage.text[begin:end], passage.source, locator))
    return sentences


def _spans(text: str) -> Iterator[tuple[int, int]]:
    for block in _BLOCK.finditer(text):
        if block.group().lstrip().startswith(("#", "|", "```")):
            continue
        mark = _MARK.match(text, block.start() + len(block.group()) - len(block.group().lstrip()))
        for sentence in _SENTENCE.finditer(text, mark.end() if mark else block.start(), block.end()):
            end = sentence.start() + len(sentence.group().rstrip())
            if len(re.findall(r"\w+", text[sentence.start() : end])) > 2:
                yield sentence.start(), end


def _elements(text: str) -> tuple[list[Passage], str]:
    found, rest, place, kept = list[Passage](), list[str](), 0, 0
    while opening := _ELEMENT.search(text, place):
        place = opening.end()
        end = text.find(closing := f"</{opening[1]}>", place)
        if end < 0:
            break
        attributes = dict(_ATTRIBUTE.findall(opening[2]))
        if source := _first(attributes, _NAMES):
            found.append(Passage(source, text[place:end].strip("\n"), _first(attributes, _PLACES)))
            rest.append(text[kept : opening.start()])
            place = kept = end + len(closing)
    return found, "\n".join([*rest, text[kept:]])


def _headed(text: str) -> Iterator[Passage]:
    for piece in _HEADED.finditer(text):
        source, locator = piece["cited"] or piece["named"], piece["cited_at"] or piece["named_at"] or ""
        words = piece["text"].strip("\n")
        if source and words.strip():
            yield Passage(source.strip(), words, locator)


def _objects(text: str) -> tuple[list[Passage], str]:
    decoder, found, place, rest = json.JSONDecoder(), list[Passage](), 0, list[str]()
    failures = 0
    while failures < _MOST_FAILURES and (start := _opening(text, place)) >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            value, end, failures = None, start + 1, failures + 1
        inside = list(_quoted(value))
        found += inside
        rest.append(text[place : start if inside else end])
        place = end
    return found, "".join([*rest, text[place:]])


def _opening(text: str, place: int) -> int:
    bracket = _OPENING.search(text, place)
    return bracket.start() if bracket else -1


def _quoted(value: object) -> Iterator[Passage]:
    if isinstance(value, Mapping):
        source, words = _first(value, ("source",)), _first(value, _TEXTS)
        if source and words:
            yield Passage(source, words, _first(value, _PLACES))
            return
        for name, inner in sorted(value.items(), key=lambda item: isinstance(item[1], str)):
            if not isinstance(inner, str):
                yield from _quoted(inner)
            elif name not in _LABELS and len(inner.split()) > 2:
                yield Passage(name if "." in name else "", inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from _quoted(inner)


def _first(values: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((str(values[name]) for name in names if values.get(name)), "")
