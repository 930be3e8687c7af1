"""What a prompt asks and what it gives to answer from."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage

from guardgraph.models.offline.passages import Passage, Sentence, passages_in, sentences_of

__all__ = ("Matter", "matter_of", "parts_of", "ranked")

_GOAL = re.compile(r"^[^\w\n]*goal[^\w\n]*:[*_ \t]*\n?[ \t]*(\S[^\n]*)", re.IGNORECASE | re.MULTILINE)
_RESULTS = re.compile(r"^[^\w\n]*(?:accepted\s+)?results?\b|<result\b", re.IGNORECASE | re.MULTILINE)
_NO_MATTER = re.compile(
    r"^(?:What is missing|Workers)[^\n]*:\n<data>\n.*?\n</data>"
    r"|^(?:It is part of this task|The original intent|Your attempt before this one was refused):[^\n]*",
    re.DOTALL | re.MULTILINE,
)
"""What a rendered request says about the work and not about the question."""
_STOPWORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can do does for from has have how i in is it its of on or that the this to was what "
        "when where which who why will with you your",
    )
)


@dataclass(frozen=True, slots=True)
class Matter:
    """A question, and the sentences that may answer it, best first."""

    goal: str
    """What is asked."""
    sentences: tuple[Sentence, ...] = ()
    """Sentences of the given documents, those that share most words with the goal first."""
    has_results: bool = False
    """Whether the prompt brings accepted results, so that a second plan need not ask again."""
    most: int = 3
    """How many sentences an answer may use."""

    @property
    def best(self) -> tuple[Sentence, ...]:
        """The sentences to answer with, the best first."""
        return self.sentences[: self.most]

    @property
    def text(self) -> str:
        """The best sentences as one text, or the plain fact that there are none."""
        if not self.best:
            return f"No passage was given that speaks of: {self.goal}"
        return " ".join(" ".join(sentence.text.split()) for sentence in self.best)


def matter_of(messages: Sequence[BaseMessage]) -> Matter:
    """Read the goal (the words after `Goal:`, else the last human message) and the documents out of a prompt.

    Where no document is marked, what tools returned is taken as documents, and then the rest of the prompt itself.
    """
    asked = [message.text for message in messages if isinstance(message, HumanMessage)]
    returned = [message for message in messages if isinstance(message, ToolMessage)]
    prompt = "\n\n".join(asked)
    named = _GOAL.search(prompt)
    goal = (named.group(1) if named else asked[-1] if asked else "").strip()
    given = _NO_MATTER.sub("", (prompt[: named.start()] + prompt[named.end() :]) if named else "")
    passages = passages_in("\n\n".join([given if named else prompt, *(message.text for message in returned)]))
    if not passages:
        passages = [Passage(message.name or "tool", message.text) for message in returned]
    if not passages and named:
        passages = [Passage("", given.strip())]
    sentences = [sentence for passage in passages for sentence in sentences_of(passage)]
    return Matter(goal, ranked(goal, sentences), has_results=bool(_RESULTS.search(prompt)))


def ranked(goal: str, sentences: Sequence[Sentence]) -> tuple[Sentence, ...]:
    """Return the sentences that share a word with `goal`, those with the most and rarest ones first.

    Of equal ones the earlier stands first. Where none shares a word, all are returned in their order.
    """
    wanted = _words(goal)
    spoken = [_words(sentence.text) for sentence in sentences]
    counts = Counter(word for words in spoken for word in words)
    scores = [_score(wanted & words, counts, len(spoken), len(words)) for words in spoken]
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    kept = [sentences[place] for place in order if scores[place] > 0]
    distinct = {" ".join(sentence.text.split()): sentence for sentence in reversed(kept or sentences)}
    return tuple(reversed(distinct.values()))


def parts_of(goal: str, *, most: int = 4) -> list[str]:
    """Split a question into at most `most` parts, at question marks, semicolons, line ends and `and`."""
    pieces = [piece.strip(" ,.") for piece in re.split(r"(?<=\?)\s+|;|\n|,?\s+and\s+(?=\w+\s+\w+)", goal)]
    parts = list(dict.fromkeys(piece for piece in pieces if re.search(r"\w", piece)))
    return parts if 1 < len(parts) <= most else [goal]


def _words(text: str) -> set[str]:
    return {_stem(word) for word in re.findall(r"\w+", text.lower()) if word not in _STOPWORDS}


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _score(shared: set[str], counts: Counter[str], total: int, length: int) -> float:
    return sum(math.log(1 + total / counts[word]) for word in shared) / (1 + math.log1p(length) / 8)
