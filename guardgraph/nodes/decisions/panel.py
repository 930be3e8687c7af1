"""The answers of a panel: which are candidates, who supports which, how sure the panel is, who dissents. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import count, product
from random import Random
from string import ascii_uppercase
from typing import Any, NamedTuple

from langgraph.errors import GraphBubbleUp
from pydantic import JsonValue

from guardgraph.agents.agent import Agent
from guardgraph.nodes.decisions.ballots import (
    Ballot,
    Key,
    VoteCount,
    VotingRule,
    canonical,
    options_in,
    top_options,
)
from guardgraph.nodes.decisions.ranked_vote import ballot_type
from guardgraph.state import ContextItem, Evidence, FrozenModel, Result, error_text

__all__ = ("Candidate", "PanelVote", "confidence_of", "has_converged", "labelled", "latest_answers", "vote_of")


class Candidate(NamedTuple):
    """One distinct answer (or option) of a panel."""

    label: str
    """`A`, `B`, …, assigned at random: all that a judge learns about where it comes from."""
    key: str
    """What identifies the choice, see `canonical`."""
    value: JsonValue
    """The answer of the supporter who is the most confident; of equal ones, of the first in the order of the panel."""
    supporters: tuple[Result, ...]
    """The results that support it, in the order of the panel."""
    evidence: tuple[Evidence, ...] = ()
    """What the answer with this value rests on."""

    @property
    def context(self) -> ContextItem:
        """The candidate as others receive it: without a name, and without the number of its supporters."""
        return ContextItem(
            kind="result",
            title=self.label,
            value=self.value,
            evidence=self.evidence,
            origin="agent",
            trusted=bool(self.supporters) and all(one.trusted for one in self.supporters),
        )


@dataclass(frozen=True, slots=True)
class PanelVote:
    """The candidates of a panel, and what the voting rule makes of them."""

    answers: tuple[Result, ...]
    """The latest accepted answer of each panelist that has one."""
    candidates: tuple[Candidate, ...]
    """In the order of their labels."""
    count: VoteCount | None
    """What the voting rule has counted; `None` where there is no rule."""
    unreadable: tuple[tuple[Result, str], ...] = ()
    """Answers that are no ballots, or that the `key` cannot read, each with the reason."""

    @property
    def winner(self) -> Candidate | None:
        """The candidate that needs no judge: the winner of the vote, or what all agree on."""
        if self.count is None:
            return self.candidates[0] if len(self.candidates) == 1 else None
        keys = self.count.winners
        return next((one for one in self.candidates if keys == (one.key,)), None)

    @property
    def contested(self) -> tuple[Candidate, ...]:
        """The candidates among which a judge or a tie-breaker decides: those that are tied, or all."""
        keys = self.count.winners if self.count is not None else ()
        return tuple(one for one in self.candidates if one.key in keys) if len(keys) > 1 else self.candidates

    def most_supported(self, among: Collection[str]) -> Candidate | None:
        """Return the candidate with the most supporters of those with these labels; `None` if several have."""
        return _most_supported([one for one in self.candidates if one.label in among])

    def dissent(self, supporters: Iterable[Result]) -> tuple[JsonValue, ...]:
        """Return the answers of all who are not among `supporters`, in the order of the panel."""
        agreeing = {result.id for result in supporters}
        return tuple(result.value for result in self.answers if result.id not in agreeing)


def latest_answers(accepted: Iterable[Result], panel: Sequence[Agent]) -> list[Result]:
    """Return the latest accepted answer of each panelist (or of its fallback), in the order of the panel."""
    heads = {member.name: agent.name for agent in panel for member in agent.fallback_chain}
    latest = {heads[result.agent]: result for result in accepted if result.agent in heads}
    return [latest[agent.name] for agent in panel if agent.name in latest]


def vote_of(answers: Iterable[Result], *, rule: VotingRule | None, key: Key | None, seed: str) -> PanelVote:
    """Return the candidates in answers and the count of the votes.

    Where the rule counts rankings or approvals, the candidates are the options on the ballots. `seed` fixes the order
    of the labels: the same answers and seed give the same labels, in any process. Raises `TypeError` for a rule that
    returns anything but a count of these ballots.
    """
    kind, readable, unreadable = ballot_type(rule), list[Result](), list[tuple[Result, str]]()
    for answer in answers:
        try:
            top_options(answer.value, kind, key)
        except GraphBubbleUp:  # an interrupt
            raise
        except Exception as error:  # whatever a `key` raises for an answer that it does not expect
            unreadable.append((answer, f"the answer is no valid ballot: {error_text(error)}"))
        else:
            readable.append(answer)
    ballots = [Ballot(answer.value, answer.confidence) for answer in readable]
    tally = None if rule is None else rule(ballots, key=key) if ballots else VoteCount()
    candidates = labelled(_candidates(readable, kind, key), seed)
    if rule is not None and not _is_count_of(tally, candidates):
        raise TypeError(f"a voting rule returns a `VoteCount` that names its winners by their keys, got {tally!r:.200}")
    return PanelVote(tuple(readable), candidates, tally, tuple(unreadable))


def _is_count_of(tally: object, candidates: Iterable[Candidate]) -> bool:
    winners: Any = tally.winners if isinstance(tally, VoteCount) else None
    return isinstance(winners, tuple) and {one.key for one in candidates}.issuperset(winners)


def labelled(candidates: Iterable[Candidate], seed: str) -> tuple[Candidate, ...]:
    """Return candidates in an order that depends on `seed` alone, not on who has answered, with new labels."""
    shuffled = sorted(candidates, key=lambda one: one.key)
    Random(seed).shuffle(shuffled)
    labels = ("".join(letters) for length in count(1) for letters in product(ascii_uppercase, repeat=length))
    return tuple(one._replace(label=label) for one, label in zip(shuffled, labels, strict=False))


def has_converged(before: Iterable[Result], now: Iterable[Result], *, rule: VotingRule | None, key: Key | None) -> bool:
    """Return whether another round is pointless: all agree, or every panelist answers as in the round before."""

    def ballots(results: Iterable[Result]) -> list[tuple[tuple[str, ...], ...]]:
        kind = ballot_type(rule)
        return [
            tuple(tuple(sorted(canonical(option, key) for option in place)) for place in options_in(one.value, kind))
            for one in results
        ]

    latest = ballots(now)
    return len(set(latest)) == 1 or ballots(before) == latest


def confidence_of(strength: float, supporters: Iterable[Result], *, answered: int, panel_size: int) -> float:
    """Return how sure a panel is: `strength * (answered / panel_size) * stated`, from 0 to 1.

    `strength` is the part of those who answered that supports the value, or the total of a judge's scores. So, where a
    vote has decided, the first two factors are the part of the whole panel that supports the value: each agent that
    failed lowers it as one that dissents does. `stated` is the mean of the confidences that the supporters have given
    (1 if none has). That agreement among independent answers predicts whether they are right was measured by Wang et
    al., "Self-Consistency Improves Chain of Thought Reasoning in Language Models" (ICLR 2023, arXiv:2203.11171); it is
    no calibrated probability.
    """
    known = [result.confidence for result in supporters if result.confidence is not None]
    stated = sum(known) / len(known) if known else 1.0
    return max(0.0, min(1.0, strength * answered / panel_size * stated))


def _candidates(answers: Sequence[Result], kind: type[FrozenModel] | None, key: Key | None) -> list[Candidate]:
    values, supporters = dict[str, Any](), dict[str, list[Result]]()
    for answer in answers:
        for option in (option for place in options_in(answer.value, kind) for option in place):
            values.setdefault(canonical(option, key), option)
        for name in top_options(answer.value, kind, key):
            supporters.setdefault(name, []).append(answer)
    found = [Candidate("", name, value, tuple(supporters.get(name, ()))) for name, value in values.items()]
    return [_as_most_confident(one) for one in found] if kind is None else found


def _as_most_confident(candidate: Candidate) -> Candidate:
    best = max(candidate.supporters, key=lambda one: -1 if one.confidence is None else one.confidence)
    return candidate._replace(value=best.value, evidence=best.evidence)


def _most_supported(candidates: Sequence[Candidate]) -> Candidate | None:
    most = max((len(one.supporters) for one in candidates), default=0)
    leading = [one for one in candidates if len(one.supporters) == most]
    return leading[0] if len(leading) == 1 else None
