"""The blocks of a pipeline: what one is given, whether it has failed, and whether it sends the work back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from guardgraph.agents.agent import Agent
from guardgraph.graphs.stage import Stage
from guardgraph.nodes.gate_context import GateContext
from guardgraph.state import ContextItem, EarlyStop, Evidence, Gap, Result, Verdict

__all__ = ("Back", "Block", "draft_of", "inputs_of", "missing_of", "sent_back")


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
    it has failed: a critical one ends the run, an optional one is a gap.
    """
    for stage in block.stages:
        answer, back, name = _answer_of(gate, stage, gate.round), stage.send_back, stage.agent.name
        reason = None if answer is None or back is None else back.when(answer.value)
        if answer is None or back is None or reason is None:
            continue
        verdict = Verdict(guard=name, gate="handoff", subject=answer.id, action="trip", reason=str(reason))
        before = [one for one in gate.state.get("verdicts") or () if (one.guard, one.gate) == (name, "handoff")]
        gate.emit(verdict)
        gate.write_unchecked(verdicts=[verdict])
        stop = EarlyStop(status="failed", reason=f"sent back {back.times} times already")
        early = stop if len(before) >= back.times else gate.next_round()
        if early is None:
            return Back(back.to, str(reason))
        gate.pending_stop = None  # it goes on without another round
        why = f"{reason} ({early.reason})"
        if stage.critical:
            failed = f"stage {name!r} is critical and not satisfied: {why}"
            return EarlyStop(status="failed", stopped_by=name, reason=failed)
        gate.write_unchecked(gaps=[Gap(subtask=name, agent=name, reason=why, guard=name, round=gate.round)])
    return None


def inputs_of(gate: GateContext, blocks: Sequence[Block]) -> list[ContextItem]:
    """Return what a stage is given: the last answer of each stage, those of a `Parallel` block as one dict."""
    heads = {name: (block, agent.name) for block in blocks for agent in block.agents for name in _names(agent)}
    latest, others = dict[str, ContextItem](), list[ContextItem]()
    for item in gate.context():
        block, head = heads.get(item.sender, (None, ""))
        if item.kind != "result" or block is None:
            others.append(item)
            continue
        before = latest.pop(block.name, None)  # the latest last
        latest[block.name] = _joined_item(block, head, item, before) if block.is_joined else item
    gaps = [item for item in others if item.kind == "gap"]
    return [*(item for item in others if item.kind != "gap"), *latest.values(), *gaps]


def draft_of(gate: GateContext, blocks: Sequence[Block]) -> Result | None:
    """Return the value of the pipeline: the last accepted answer, that of a `Parallel` block as a dict."""
    last = next(reversed(gate.accepted), None)
    joined = (block for block in blocks if block.is_joined)
    block = next((one for one in joined if last and any(last.agent in _names(a) for a in one.agents)), None)
    if last is None or block is None:
        return last
    answers = {stage.agent.name: _answer_of(gate, stage, last.round) for stage in block.stages}
    found = {name: answer for name, answer in answers.items() if answer is not None}
    known = [answer.confidence for answer in found.values() if answer.confidence is not None]
    return Result(
        id=f"joined/{block.name}",
        agent=block.name,
        round=last.round,
        value={name: answer.value for name, answer in found.items()},
        evidence=_distinct(answer.evidence for answer in found.values()),
        confidence=min(known, default=None),
    )


def _joined_item(block: Block, head: str, item: ContextItem, before: ContextItem | None) -> ContextItem:
    """Return the answers of a block so far with one more."""
    values = before.value if before is not None and isinstance(before.value, dict) else {}
    order = [agent.name for agent in block.agents]
    value = dict(sorted({**values, head: item.value}.items(), key=lambda pair: order.index(pair[0])))
    evidence = _distinct([*([before.evidence] if before else []), item.evidence])
    return ContextItem(kind="result", title=block.name, sender=block.name, value=value, evidence=evidence)


def _answer_of(gate: GateContext, stage: Stage, number: int) -> Result | None:
    """Return the accepted answer of a stage in a round."""
    names = _names(stage.agent)
    answers = [one for one in gate.accepted if one.subtask is None and one.agent in names and one.round == number]
    return answers[-1] if answers else None


def _names(agent: Agent) -> set[str]:
    return {member.name for member in agent.fallback_chain}


def _distinct(evidence: Iterable[Sequence[Evidence]]) -> tuple[Evidence, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(evidence)))
