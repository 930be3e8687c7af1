"""The blocks of a pipeline: what one is given, whether it has failed, and whether it sends the work back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from guardgraph.agents.agent import Agent
from guardgraph.graphs.stage import Stage
from guardgraph.nodes.context import result_item
from guardgraph.nodes.gate_context import GateContext
from guardgraph.state import ContextItem, EarlyStop, Gap, Result, Verdict

__all__ = ("Back", "Block", "inputs_of", "missing_of", "sent_back", "value_of")


class Back(NamedTuple):
    """The work goes back."""

    to: str
    """The name of the block that works again."""
    reason: str


@dataclass(frozen=True, slots=True)
class Block:
    """What works at once in a pipeline: a stage, or several whose values are joined as a dict."""

    name: str
    stages: tuple[Stage, ...]
    is_joined: bool

    @property
    def agents(self) -> list[Agent]:
        """The agents of its stages, without their fallbacks."""
        return [stage.agent for stage in self.stages]

    @property
    def is_critical(self) -> bool:
        """Whether one of its stages is."""
        return any(stage.critical for stage in self.stages)


def missing_of(gate: GateContext, block: Block) -> Gap | None:
    """Return why a critical stage of the block that has just worked has no accepted answer; `None` if all have one."""
    for stage in block.stages:
        if stage.critical and _answer_of(gate, stage, gate.round) is None:
            names = _names(stage.agent)
            gaps = [gap for gap in gate.gaps if gap.owner in names or gap.agent in names]
            gap = gaps[-1] if gaps else Gap(subtask=stage.agent.name, reason="it has no accepted answer")
            return gap.model_copy(update={"subtask": stage.agent.name})
    return None


def sent_back(gate: GateContext, block: Block) -> Back | EarlyStop | None:
    """Return where the answers of a block send the work, or what ends the run; `None` where it goes on.

    It begins the next round. Once a stage has sent the work back as often as it may, or another round is not allowed,
    it has failed: a critical one ends the run, and each is a gap.
    """
    for stage in block.stages:
        answer, back, name = _answer_of(gate, stage, gate.round), stage.send_back, stage.agent.name
        reason = None if answer is None or back is None else back.reason(answer.value)
        if answer is None or back is None or reason is None:
            continue
        verdict = Verdict(guard=f"SendBack {name}", gate="handoff", subject=answer.id, action="trip", reason=reason)
        before = [one for one in gate.state.get("verdicts") or () if one.guard == verdict.guard]
        gate.emit(verdict)
        gate.write_unchecked(verdicts=[verdict])
        stop = EarlyStop(status="failed", reason=f"sent back {back.times} times already")
        early = stop if len(before) >= back.times else gate.next_round()
        if early is None:
            return Back(back.to, reason)
        gate.pending_stop = None  # it goes on without another round
        why = f"{reason} ({early.reason})"
        gate.write_unchecked(gaps=[Gap(subtask=name, agent=name, reason=why, guard=name, round=gate.round)])
        if stage.critical:
            failed = f"stage {name!r} is critical and not satisfied: {why}"
            return EarlyStop(status="failed", stopped_by=name, reason=failed)
    return None


def inputs_of(gate: GateContext, blocks: Sequence[Block]) -> list[ContextItem]:
    """Return what a stage is given: what its team was given, the values of `blocks` in their order, and gaps.

    A nested pipeline is given results too: those of the team above.
    """
    given = list(gate.state.get("context") or ())
    values = [value for value in (value_of(gate, block) for block in blocks) if value is not None]
    items = [result_item(one, one.agent) for one in values]
    gaps = [item for item in gate.context()[len(given) :] if item.kind == "gap"]
    return [*given, *items, *gaps]


def value_of(gate: GateContext, block: Block) -> Result | None:
    """Return the answer of a block in the last round in which it was due; that of a `Parallel` block is a dict.

    `None` where nothing was accepted in that round: an answer of an earlier round is not used instead.
    """
    names = {name for agent in block.agents for name in _names(agent)}
    results = [one for one in gate.state.get("results") or () if one.agent in names and one.subtask is None]
    missing = [gap for gap in gate.state.get("gaps") or () if gap.subtask in names and not gap.path]
    number = max((one.round for one in (*results, *missing)), default=0)
    answers = {stage.agent.name: _answer_of(gate, stage, number) for stage in block.stages}
    found = {name: answer for name, answer in answers.items() if answer is not None}
    if not found or not block.is_joined:
        return next(iter(found.values()), None)
    known = [answer.confidence for answer in found.values() if answer.confidence is not None]
    return Result(
        id=f"joined/{block.name}#{number}",
        agent=block.name,
        round=number,
        value={name: answer.value for name, answer in found.items()},
        evidence=tuple(dict.fromkeys(chain.from_iterable(answer.evidence for answer in found.values()))),
        confidence=min(known, default=None),
        trusted=all(answer.trusted for answer in found.values()),
        reasoning="\n".join(f"{name}: {answer.reasoning}" for name, answer in found.items() if answer.reasoning),
    )


def _answer_of(gate: GateContext, stage: Stage, number: int) -> Result | None:
    """Return the accepted answer of a stage in a round."""
    names = _names(stage.agent)
    answers = [one for one in gate.accepted if one.subtask is None and one.agent in names and one.round == number]
    return answers[-1] if answers else None


def _names(agent: Agent) -> set[str]:
    return {member.name for member in agent.fallback_chain}
