"""Ballots, and what a voting rule makes of them. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, cast

from pydantic import JsonValue, model_validator

from guardgraph.state import BadInput, FrozenModel, to_json

__all__ = (
    "ApprovalBallot",
    "Ballot",
    "Key",
    "RankingBallot",
    "VoteCount",
    "VotingRule",
    "canonical",
    "count_of",
    "options_in",
    "top_options",
)

Key: TypeAlias = Callable[[Any], object]
"""Returns what identifies an option, as JSON data: two options with equal keys are the same choice."""


class ApprovalBallot(FrozenModel):
    """A ballot that approves of any number of options; a bare list is one too."""

    approved: tuple[JsonValue, ...] = ()
    """The options, in any order; an option that is named twice counts once."""

    @model_validator(mode="before")
    @classmethod
    def _of_list(cls, given: Any) -> Any:
        return {"approved": given} if isinstance(given, list | tuple | set | frozenset) else given


class RankingBallot(FrozenModel):
    """A ballot that ranks options, best first; a bare list is one too.

    An item that is itself a list is a tie of its options. Options that are missing are tied behind all that are ranked.
    """

    ranking: tuple[tuple[JsonValue, ...], ...] = ()
    """The options by place; those in one place are tied."""

    @model_validator(mode="before")
    @classmethod
    def _of_list(cls, given: Any) -> Any:
        fields = {"ranking": given} if isinstance(given, list | tuple) else given
        if not isinstance(fields, Mapping) or not isinstance(fields.get("ranking"), list | tuple):
            return fields
        places = cast("Sequence[Any]", fields["ranking"])
        return {**fields, "ranking": [one if isinstance(one, list | tuple) else [one] for one in places]}

    @model_validator(mode="after")
    def _ranks_each_option_once(self) -> RankingBallot:
        keys = [canonical(option) for place in self.ranking for option in place]
        twice = sorted(key for key, count in Counter(keys).items() if count > 1)
        if twice:
            raise ValueError(f"an option may be ranked once, these are ranked twice: {', '.join(twice)}")
        return self


@dataclass(frozen=True, slots=True)
class Ballot:
    """One vote."""

    value: Any
    """A single choice (any JSON data), an `ApprovalBallot`, or a `RankingBallot`; the latter two also as JSON data."""
    confidence: float | None = None
    """How sure the voter is, from 0 to 1; `None` if unknown. Only `confidence_weighted` reads it."""

    def __post_init__(self) -> None:
        if self.confidence is not None and not 0 <= self.confidence <= 1:  # also for NaN
            raise BadInput(f"the confidence of a ballot must be from 0 to 1, got {self.confidence!r}")


@dataclass(frozen=True, slots=True)
class VoteCount:
    """What a voting rule makes of ballots. Options are named by their canonical keys."""

    winners: tuple[str, ...] = ()
    """One option; several that are tied; none where no option has reached the threshold of the rule."""
    scores: Mapping[str, float] = field(default_factory=dict[str, float])
    """The score of each option, best first; what it measures depends on the rule."""
    options: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    """Each option as the first ballot with it gives it."""

    @property
    def winner(self) -> JsonValue:
        """The option that has won; `None` where none or several have."""
        return self.options[self.winners[0]] if len(self.winners) == 1 else None


class VotingRule(Protocol):
    """Counts ballots (or bare values, of voters whose confidence is unknown)."""

    def __call__(self, ballots: Iterable[Any], *, key: Key | None = None) -> VoteCount:
        """Return the count of `ballots`; `key` makes options the same whose keys are equal."""
        ...


def canonical(option: object, key: Key | None = None) -> str:
    """Return what identifies an option: its JSON with sorted keys and without white space, or that of its key.

    So the order of fields and the white space of the answer make no difference. Numbers are compared as they are
    written: `1` and `1.0` differ, unless a schema has made them the same before. Raises `ValueError` for what has no
    JSON form, and whatever `key` raises.
    """
    value = to_json(option if key is None else key(deepcopy(option)))  # a key may change what it is given
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def options_in(value: Any, kind: type[FrozenModel] | None) -> list[list[Any]]:
    """Return the options of a ballot of this `kind` by place, best first; `None` is a single choice."""
    if kind is ApprovalBallot:
        return [list(ApprovalBallot.model_validate(value).approved)]
    if kind is RankingBallot:
        return [list(place) for place in RankingBallot.model_validate(value).ranking]
    return [[value]]


def top_options(value: Any, kind: type[FrozenModel] | None, key: Key | None) -> set[str]:
    """Return the keys of the options that a ballot supports: its choice, all it approves of, or its first place."""
    return {canonical(option, key) for place in options_in(value, kind)[:1] for option in place}


def count_of(scores: Mapping[str, float], options: Mapping[str, JsonValue], *, least: float | None = None) -> VoteCount:
    """Return the count in which the options with the highest score win, if that is more than `least`."""
    ordered = dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))
    best = max(ordered.values(), default=0.0)
    reached = bool(ordered) and (least is None or best > least)
    winners = tuple(option for option, score in ordered.items() if score == best) if reached else ()
    return VoteCount(winners, ordered, options)
