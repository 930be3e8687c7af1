"""Rules that route a request without a model: keywords, a regular expression, a predicate."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import NamedTuple

from langgraph.errors import GraphBubbleUp

from guardgraph.agents.agent import Agent
from guardgraph.state import BadGraph, Task, error_text
from guardgraph.state.argument_checks import check_fields, must_be

__all__ = ("Rule", "RuleMatch", "match_rules")

_LONGEST = 200
"""Characters of a matched text that are kept."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Sends a request that matches to one worker. `Rule.keywords`, `Rule.regex` and `Rule.when` make one.

    Every one of them takes the worker as an agent or its name, and a `name` of the rule for the log of decisions.
    """

    name: str
    """Unique among the rules of a router."""
    worker: str
    """The name of the worker."""
    matches: Callable[[Task], object]
    """Returns the text that matched (or `True`), and `None` (or `False`, or an empty text) where nothing did."""
    is_own_code: bool = True
    """Whether `matches` is code of the user's own, which may raise or hang."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.name.strip():
            raise BadGraph("a rule needs a name")
        if iscoroutinefunction(self.matches):
            raise BadGraph(f"rule {self.name!r}: the predicate must not be async, got {self.matches!r}")

    @classmethod
    def keywords(cls, *words: str, worker: str | Agent, name: str | None = None) -> Rule:
        """Return a rule that matches a goal with one of `words` in it.

        A word (or a phrase) matches as a whole and in any case: `refund` does not match `refundable`.
        """
        must_be("Rule.keywords", "words", words, Sequence[str])
        if not words or not all(word.strip() for word in words):
            raise BadGraph(f"`Rule.keywords` needs at least one word, and none that is empty, got {words!r}")
        phrases = (r"\s+".join(map(re.escape, word.split())) for word in sorted(words, key=len, reverse=True))
        pattern = re.compile(rf"(?<!\w)(?:{'|'.join(phrases)})(?!\w)", re.IGNORECASE)
        return cls(name or f"keywords: {', '.join(words)}", _name_of(worker), _searching(pattern), is_own_code=False)

    @classmethod
    def regex(cls, pattern: str, *, worker: str | Agent, name: str | None = None, flags: int = re.IGNORECASE) -> Rule:
        """Return a rule that matches a goal in which `pattern` is found, by default in any case.

        Python's `re` cannot be stopped: avoid patterns with nested repetitions, such as `(a+)+`. Raises `BadGraph` for
        a pattern that is invalid, or that matches the empty text and therefore everything.
        """
        must_be("Rule.regex", "pattern", pattern, str)
        try:
            compiled = re.compile(pattern, flags)
        except (re.error, ValueError, OverflowError) as error:
            raise BadGraph(f"`Rule.regex` cannot read the pattern {pattern!r}: {error}") from error
        if compiled.search("") is not None:
            raise BadGraph(f"`Rule.regex`: {pattern!r} matches the empty text, so it would match every request")
        return cls(name or f"regex: {pattern}", _name_of(worker), _searching(compiled), is_own_code=False)

    @classmethod
    def when(cls, predicate: Callable[[Task], object], *, worker: str | Agent, name: str | None = None) -> Rule:
        """Return a rule that matches where `predicate` of the task returns `True`, or the text that it found.

        A predicate also sees the task's `inputs`, `stakes` and `categories`. One that raises, or that returns anything
        but a bool, a text or `None`, does not match, and the decision records it.
        """
        must_be("Rule.when", "predicate", predicate, Callable[[Task], object])
        return cls(name or getattr(predicate, "__name__", type(predicate).__name__), _name_of(worker), predicate)


class RuleMatch(NamedTuple):
    """The first rule that matches a request."""

    rule: Rule
    text: str
    """What it matched; empty for a predicate that returns `True`."""


def match_rules(rules: Sequence[Rule], task: Task) -> tuple[RuleMatch | None, tuple[str, ...]]:
    """Return the first rule that matches, if any, and what failed before it."""
    problems: list[str] = []
    for rule in rules:
        try:
            found = rule.matches(task)
        except GraphBubbleUp:  # an interrupt, or a run that is drained
            raise
        except (Exception, SystemExit) as error:
            problems.append(f"rule {rule.name!r} raised {error_text(error)}")
            continue
        if not isinstance(found, bool | str | None):
            problems.append(f"rule {rule.name!r} returned a {type(found).__name__}, which is no bool, text or None")
        elif found:
            return RuleMatch(rule, found[:_LONGEST] if isinstance(found, str) else ""), tuple(problems)
    return None, tuple(problems)


def _searching(pattern: re.Pattern[str]) -> Callable[[Task], str | None]:
    def search(task: Task) -> str | None:
        hit = pattern.search(task.goal)
        return None if hit is None else hit.group() or pattern.pattern

    return search


def _name_of(worker: str | Agent) -> str:
    must_be("a rule", "worker", worker, str | Agent)
    return worker.name if isinstance(worker, Agent) else worker
