"""What a consensus is declared with: checked, with one answer schema for all candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from guardgraph.agents.agent import Agent
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

__all__ = ("PanelRules", "StakesOf", "checked_rules")

StakesOf = Callable[[Task], bool | str]
"""Returns whether the stakes of a task are high: a bool, or `low`, `normal` or `high` as in `Task.stakes`."""


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
    arguments: dict[str, tuple[object, Any]] = {
        "panel": (panel, Sequence[Agent]),
        "vote": (vote, Callable[..., Any] | None),
        "judge": (judge, Agent | None),
        "rubric": (rubric, Rubric | None),
        "synthesize": (synthesize, bool),
        "quorum": (quorum, int | None),
        "tie_breaker": (tie_breaker, Agent | None),
        "rounds": (rounds, int),
        "stakes": (stakes, Callable[..., Any] | None),
        "single": (single, Agent | None),
        "key": (key, Callable[..., Any] | None),
    }
    for argument, (value, kind) in arguments.items():
        must_be("consensus", argument, value, kind)
    least = len(panel) // 2 + 1 if quorum is None else quorum
    for problem in (
        len(panel) < 2 and f"a panel needs at least two agents, got {len(panel)}",
        vote is None and judge is None and "give `vote=`, such as `majority`, or `judge=`, or both",
        judge is None and rubric is not None and "`rubric` is for a judge: give `judge=`",
        judge is None and synthesize and "only a judge synthesizes: give `judge=`",
        not 1 <= least <= len(panel) and f"`quorum` must be from 1 to {len(panel)}, the panel's size, got {quorum!r}",
        rounds < 1 and f"`rounds` must be at least 1, got {rounds!r}",
        (stakes is None) != (single is None) and "`stakes` and `single`, who answers if they are low, go together",
    ):
        if problem:
            raise BadGraph(f"consensus: {problem}")
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
