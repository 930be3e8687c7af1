"""The goal of a prompt, and verbatim sentences of its documents, ranked by the words they share with the goal."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage

from guardgraph.text.passages import passages_of
from guardgraph.text.sentences import sentences_of
from guardgraph.text.terms import terms_of

__all__ = ("Excerpt", "ParsedPrompt", "documents_in", "parse_prompt", "ranked")

_GOAL = re.compile(r"^[^\w\n]*goal[^\w\n]*:[*_ \t]*\n?[ \t]*(\S[^\n]*)", re.IGNORECASE | re.MULTILINE)
_RESULTS = re.compile(r"^[^\w\n]*(?:accepted\s+)?results?\b|<result\b", re.IGNORECASE | re.MULTILINE)
_INSTRUCTIONS = re.compile(
    r"^(?:What is missing|Workers|Constraints|Decisions)[^\n]*:\n<data>\n.*?\n</data>"
    r"|^(?:It is part of this task|The original intent|Your attempt before this one was refused):[^\n]*",
    re.DOTALL | re.MULTILINE,
)
"""Parts of a rendered request that are about the work and not about the question."""
_ATTRIBUTE = re.compile(r"(\w+)\s*=\s*\"([^\"]*)\"")
_START = re.compile(r"<(?P<tag>document|passage|source|evidence)\b(?P<attributes>[^<>]{0,2000})>|\{\s*\"|\[\s*\{")
_MAX_FAILURES = 500
"""The search ends after so many texts that only look like documents: each costs a pass over the rest."""
_NAMES = ("source", "name", "path", "file", "title", "id")
_LOCATORS = ("locator", "lines", "line")
_TEXTS = ("quote", "text", "content", "passage", "snippet")
_LABELS = frozenset({"about", "from", "goal", "id", "sender", "title", "url"})
"""Fields of JSON data that name it and are no content."""


class Excerpt(NamedTuple):
    """A part of a document in a prompt, verbatim; it may be a single sentence."""

    text: str
    """Its words, with their line breaks."""
    source: str
    """The name of the document; empty for words of the prompt itself."""
    locator: str = ""
    """Its lines as `12` or `12-14`, or any other locator that the prompt gives."""


class ParsedPrompt(NamedTuple):
    """A goal, and the sentences that may answer it, best first."""

    goal: str
    """The question."""
    quotes: tuple[Excerpt, ...] = ()
    """Sentences of the documents, those that share most words with the goal first."""
    has_results: bool = False
    """Whether the prompt contains accepted results, so that a second plan may be empty."""
    limit: int = 3
    """How many sentences an answer may use."""

    @property
    def text(self) -> str:
        """The best sentences as one text, or the statement that there are none."""
        best = [" ".join(quote.text.split()) for quote in self.quotes[: self.limit]]
        return " ".join(best) or f"No passage was given that mentions: {self.goal}"


def parse_prompt(messages: Sequence[BaseMessage]) -> ParsedPrompt:
    """Return the goal (the words after `Goal:`, else the last human message) and the ranked sentences of a prompt.

    Where no document is marked, the answers of tools are used as documents, and then the rest of the prompt itself.
    """
    human = [message.text for message in messages if isinstance(message, HumanMessage)]
    tools = [message for message in messages if isinstance(message, ToolMessage)]
    prompt = "\n\n".join(human)
    named = _GOAL.search(prompt)
    goal = (named[1] if named else human[-1] if human else "").strip()
    rest = _INSTRUCTIONS.sub("", prompt[: named.start()] + prompt[named.end() :]) if named else prompt
    documents = documents_in("\n\n".join([rest, *(message.text for message in tools)]))
    if not documents:
        documents = [Excerpt(message.text, message.name or "tool") for message in tools]
    if not documents and named:
        documents = [Excerpt(rest.strip(), "")]
    quotes = [quote for document in documents for quote in _quotes_of(document)]
    return ParsedPrompt(goal, ranked(goal, quotes), has_results=bool(_RESULTS.search(prompt)))


def documents_in(prompt: str) -> list[Excerpt]:
    """Return the documents in a prompt, in their order, each once.

    An element is `<document source="a.md" lines="12-14">…</document>`, also as `passage`, `source` or `evidence`. JSON
    objects with `source` and a `quote`, `text` or `content` are documents. Other texts in JSON are documents without a
    source, unless the name of their field looks like a file.
    """
    found: list[Excerpt] = []
    decoder, position, failures = json.JSONDecoder(), 0, 0
    while failures < _MAX_FAILURES and (start := _START.search(prompt, position)):
        try:
            if start["tag"]:
                element, position = _element(start)
                found.append(element)
            else:
                value, position = decoder.raw_decode(prompt, start.start())
                found += _excerpts_of(value)
        except (ValueError, RecursionError):
            position, failures = start.start() + 1, failures + 1
    return list(dict.fromkeys(found))


def ranked(goal: str, quotes: Sequence[Excerpt]) -> tuple[Excerpt, ...]:
    """Return the quotes that share a word with `goal`, those with the most and rarest ones first, each text once.

    Equal ones keep their order. Where none shares a word, all are returned in their order.
    """
    wanted, terms = terms_of(goal), [terms_of(quote.text) for quote in quotes]
    counts = Counter(chain.from_iterable(terms))
    weights = {term: math.log(1 + len(quotes) / counts[term]) for term in wanted if counts[term]}
    scores = [sum(weights[term] for term in wanted & own) / (1 + math.log1p(len(own)) / 8) for own in terms]
    best_first = sorted(zip(scores, quotes, strict=True), key=lambda scored: -scored[0])
    distinct: dict[str, Excerpt] = {}
    for quote in [quote for score, quote in best_first if score > 0] or quotes:
        distinct.setdefault(" ".join(quote.text.split()), quote)
    return tuple(distinct.values())


def _quotes_of(document: Excerpt) -> Iterator[Excerpt]:
    first = re.match(r"\d+", document.locator)
    offset = int(first[0]) - 1 if first else 0
    for passage in passages_of(document.source, document.text):
        for sentence in sentences_of(passage._replace(first=passage.first + offset)):
            yield Excerpt(sentence.quote, document.source, sentence.locator if first else document.locator)


def _element(start: re.Match[str]) -> tuple[Excerpt, int]:
    """Return the element that begins at `start`, and its end; raise `ValueError` without a source or a closing tag."""
    attributes = dict(_ATTRIBUTE.findall(start["attributes"]))
    source, end = _first(attributes, _NAMES), start.string.index(f"</{start['tag']}>", start.end())
    if not source:
        raise ValueError("the element has no name")
    return Excerpt(start.string[start.end() : end].strip("\n"), source, _first(attributes, _LOCATORS)), end


def _excerpts_of(value: object) -> Iterator[Excerpt]:
    if isinstance(value, list):
        for item in value:
            yield from _excerpts_of(item)
    if not isinstance(value, Mapping):
        return
    source, words = _first(value, ("source",)), _first(value, _TEXTS)
    if source and words:
        yield Excerpt(words, source, _first(value, _LOCATORS))
        return
    for name, item in sorted(value.items(), key=lambda field: isinstance(field[1], str)):
        if not isinstance(item, str):
            yield from _excerpts_of(item)
        elif name not in _LABELS and len(item.split()) > 2:
            yield Excerpt(item, name if "." in name else "")


def _first(values: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((str(values[name]) for name in names if values.get(name)), "")
