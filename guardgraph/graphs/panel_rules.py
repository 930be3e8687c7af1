"""What a consensus is declared with: checked, with one answer schema for all candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import iscoroutinefunction, signature
from typing import Any

from guardgraph.agents.agent import Agent
from guardgraph.guards import Convergence, Guard, bounds_of
from guardgraph.nodes.decisions.ballots import Key, VotingRule
from guardgraph.nodes.decisions.ranked_vote import ballot_type
from guardgraph.nodes.decisions.rubric import (
    JUDGE_PROMPT,
    TIE_BREAKER_PROMPT,
    CandidateChoice,
    Rubric,
    RubricScores,
    scores_with_value,
)
from guardgraph.state import BadGraph, Task
from guardgraph.state.argument_checks import must_be

__all__ = ("PanelRules", "StakesOf", "check_rounds", "checked_rules")

StakesOf = Callable[[Task], bool | str]
"""Returns whether the stakes of a task are high: a bool, or `low`, `normal` or `high` as in `Task.stakes`."""

_TYPES: Mapping[str, Any] = {
    "panel": Sequence[Agent],
    "vote": Callable[..., Any] | None,
    "judge": Agent | None,
    "rubric": Rubric | None,
    "synthesize": bool,
    "quorum": int | None,
    "tie_breaker": Agent | None,
    "rounds": int,
    "stakes": Callable[..., Any] | None,
    "single": Agent | None,
    "key": Callable[..., Any] | None,
}
"""The types of the arguments."""


@dataclass(frozen=True, slots=True)
class PanelRules:
    """A consensus as it was declared; see `consensus`."""

    panel: tuple[Agent, ...]
    vote: VotingRule | None
    judge: Agent | None
    rubric: Rubric
    tie_breaker: Agent | None
    quorum: int
    rounds: int
    stakes: StakesOf | None
    single: Agent | None
    key: Key | None

    @property
    def alone(self) -> list[Agent]:
        """The agent that answers alone where the stakes are low, if there is one."""
        return [] if self.single is None else [self.single]

    @property
    def deciding(self) -> list[Agent]:
        """Who decides what the vote leaves open, in this order."""
        return [agent for agent in (self.judge, self.tie_breaker) if agent is not None]


def checked_rules(
    *,
    panel: Sequence[Agent],
    answer: Any,
    vote: VotingRule | None,
    judge: Agent | None,
    rubric: Rubric | None,
    synthesize: bool,
    quorum: int | None,
    tie_breaker: Agent | None,
    rounds: int,
    stakes: StakesOf | None,
    single: Agent | None,
    key: Key | None,
) -> PanelRules:
    """Return the declaration of a consensus, with the answer schema set in each agent. Raises `BadGraph`."""
    arguments = {
        "panel": panel, "vote": vote, "judge": judge, "rubric": rubric, "synthesize": synthesize, "quorum": quorum,
        "tie_breaker": tie_breaker, "rounds": rounds, "stakes": stakes, "single": single, "key": key,
    }  # fmt: skip
    for argument, value in arguments.items():
        must_be("consensus", argument, value, _TYPES[argument])
    problem = next(filter(None, _problems(arguments)), None)
    if problem:
        raise BadGraph(f"consensus: {problem}")
    least = len(panel) // 2 + 1 if quorum is None else quorum
    schema = _schema((*panel, *([single] if single else [])), answer, vote)
    scores = scores_with_value(None if ballot_type(vote) else schema) if synthesize else RubricScores
    return PanelRules(
        panel=tuple(_with_output(agent, schema) for agent in panel),
        vote=vote,
        judge=judge and _with_output(_instructed(judge, JUDGE_PROMPT), scores),
        rubric=rubric or Rubric(),
        tie_breaker=tie_breaker and _with_output(_instructed(tie_breaker, TIE_BREAKER_PROMPT), CandidateChoice),
        quorum=least,
        rounds=rounds,
        stakes=stakes,
        single=single and _with_output(single, schema),
        key=key,
    )


def _problems(given: Mapping[str, Any]) -> Iterable[str | None]:
    """Yield what does not fit together in arguments of the right types."""
    size, quorum = len(given["panel"]), given["quorum"]
    if size < 2:
        yield f"a panel needs at least two agents, got {size}"
    if given["judge"] is None and given["vote"] is None:
        yield "give `vote=`, such as `majority`, or `judge=`, or both"
    if given["vote"] is not None and not _is_rule(given["vote"]):
        name = getattr(given["vote"], "__name__", repr(given["vote"]))
        yield f"{name!r} is no voting rule: one takes `(ballots, *, key=None)`; `supermajority()` returns one"
    if given["judge"] is None and given["rubric"] is not None:
        yield "`rubric` is for a judge: give `judge=`"
    if given["judge"] is None and given["synthesize"]:
        yield "only a judge synthesizes: give `judge=`"
    if quorum is not None and not 1 <= quorum <= size:
        yield f"`quorum` must be from 1 to {size}, the panel's size, got {quorum!r}"
    if given["rounds"] < 1:
        yield f"`rounds` must be at least 1, got {given['rounds']!r}"
    yield from (
        f"`{name}` must be a plain function that is not async, got {given[name]!r}"
        for name in ("vote", "stakes", "key")
        if iscoroutinefunction(given[name])
    )
    if (given["stakes"] is None) != (given["single"] is None):
        yield "`stakes` and `single`, who answers if they are low, go together"


def _is_rule(vote: Callable[..., Any]) -> bool:
    """Return whether a function takes what a voting rule is called with, as far as its signature shows."""
    try:
        signature(vote).bind((), key=None)
    except TypeError:
        return False
    except ValueError:  # it has no signature
        return True
    return True


def _schema(agents: Sequence[Agent], answer: Any, vote: VotingRule | None) -> Any:
    """Return the type of all answers: `answer`, the ballot that the rule counts, or what an agent declares."""
    ballot = ballot_type(vote)
    declared = [member.output for agent in agents for member in agent.fallback_chain if member.output is not None]
    schema = answer or (declared[0] if declared else ballot)
    if ballot is not None and not (isinstance(schema, type) and issubclass(schema, ballot)):
        raise BadGraph(f"consensus: this voting rule counts answers of type {ballot.__name__}, not {schema!r}")
    return schema


def _with_output(agent: Agent, output: Any) -> Agent:
    """Return an agent and its fallbacks that answer in this type. Raises `BadGraph` where one declares another."""
    if agent.output is not None and agent.output != output:
        name = repr(agent.name)
        raise BadGraph(f"consensus: all candidates need one schema: {name} answers {agent.output!r}, not {output!r}")
    return replace(agent, output=output, fallback=agent.fallback and _with_output(agent.fallback, output))


def _instructed(agent: Agent, prompt: str) -> Agent:
    """Return an agent and its fallbacks; a model has at least two attempts, and a prompt if it has none of its own."""
    agent = replace(agent, fallback=agent.fallback and _instructed(agent.fallback, prompt))
    if agent.kind != "model":
        return agent
    return replace(agent, instructions=agent.instructions or prompt, attempts=max(agent.attempts, 2))


def check_rounds(rounds: int, guards: Sequence[Guard]) -> None:
    """Raise `BadGraph` where a guard stops a debate before its last round."""
    if min(bounds_of(guards, Convergence, lambda guard: guard.rounds), default=rounds) < rounds:
        raise BadGraph(f"consensus: `rounds={rounds}` is more than a guard `Convergence` allows")
