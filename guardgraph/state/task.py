"""What a run is to do, and how it is split."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Set
from graphlib import CycleError, TopologicalSorter
from itertools import count
from typing import Any, Literal

from pydantic import Field, JsonValue, field_serializer, field_validator, model_validator

from guardgraph.state.attachments import Attachment, check_attachments
from guardgraph.state.frozen_model import FrozenModel, new_id

__all__ = ("Category", "Plan", "Stakes", "Subtask", "Task")

_LONGEST = 100
"""Characters of an id."""

Stakes = Literal["low", "normal", "high"]
Category = Literal["financial", "safety", "personal", "irreversible"]


class Task(FrozenModel):
    """The task of a run; it is never rewritten, and every agent sees its goal."""

    goal: str = Field(min_length=1, max_length=200_000)
    """The intent in the words of the user (1 to 200,000 characters)."""
    id: str = Field(default_factory=new_id, min_length=1, max_length=200)
    """A name for this task; a random one if none is given."""
    inputs: dict[str, JsonValue] = Field(default_factory=dict)
    """Named JSON data that belongs to the task."""
    attachments: tuple[Attachment, ...] = Field(default=(), repr=False)
    """Images and files as LangChain's content blocks, at most 20 million characters in all.

    Agents get them with their content; gates, guards and stored requests only the type and a digest of each.
    """
    stakes: Stakes = "normal"
    """How much depends on a right answer."""
    categories: frozenset[Category] = frozenset()
    """Kinds of consequence that a human may have to approve."""
    origin: str | None = Field(default=None, max_length=200_000)
    """The goal of the run's first team, where this task is a subtask of it; `None` at the top."""

    @field_validator("goal")
    @classmethod
    def _is_not_blank(cls, goal: str) -> str:
        if not goal.strip():
            raise ValueError("the goal is empty; say what is to be done")
        return goal

    @field_validator("attachments")
    @classmethod
    def _are_blocks(cls, attachments: tuple[Attachment, ...]) -> tuple[Attachment, ...]:
        check_attachments(attachments)
        return attachments

    @field_serializer("categories", when_used="json")
    def _in_order(self, categories: frozenset[Category]) -> list[Category]:
        return sorted(categories)


class Subtask(FrozenModel):
    """One part of a task, which a planner delegates."""

    id: str = Field(min_length=1, max_length=_LONGEST)
    """Its name, unique in the run."""
    goal: str = Field(min_length=1, max_length=200_000)
    """What is to be done."""
    depends_on: tuple[str, ...] = ()
    """Ids of subtasks whose accepted results it needs; it is sent after them."""
    priority: int = 0
    """The higher, the earlier it is sent, and the later it is cut when the allowance is short."""
    skill: str | None = None
    """The skill (or the name) of the worker it needs; `None` lets any worker do it."""
    inputs: dict[str, JsonValue] = Field(default_factory=dict)
    """Named JSON data for the worker."""
    share: float | None = Field(default=None, gt=0, le=1)
    """At most this part (0 to 1) of what is left may go into it; `None` sets no cap of its own."""
    replaces: tuple[str, ...] = ()
    """Ids of subtasks of earlier rounds: what they left missing is there once this one is accepted.

    A subtask with the goal, the skill and the inputs of an earlier one replaces that one by itself.
    """

    @property
    def work(self) -> tuple[str, str, str]:
        """What identifies the work, whatever its id: goal (without white space and case), skill and inputs."""
        return (" ".join(self.goal.casefold().split()), self.skill or "", json.dumps(self.inputs, sort_keys=True))

    @field_validator("share", mode="before")
    @classmethod
    def _is_a_part(cls, share: Any) -> Any:
        if isinstance(share, bool):
            raise ValueError(f"it must be a part from 0 to 1, got {share!r}")
        return share

    @field_validator("goal")
    @classmethod
    def _is_not_blank(cls, goal: str) -> str:
        if not goal.strip():
            raise ValueError("the goal of a subtask is empty")
        return goal


class Plan(FrozenModel):
    """Subtasks for one round; an empty plan ends the rounds."""

    subtasks: tuple[Subtask, ...] = ()
    """What is to be done in this round."""
    reasoning: str = ""
    """Why it is split like this."""

    @classmethod
    def of(cls, answer: object) -> Plan:
        """Read a planner's answer: a plan, or a bare list of subtasks; `None` is the empty plan.

        Raises `ValidationError` for what is no plan.
        """
        given = {"subtasks": answer} if isinstance(answer, list) else answer
        return cls.model_validate({} if given is None else given)

    def with_fresh_ids(self, used: Set[str], number: int) -> Plan:
        """Return the plan with new ids in place of those in `used`: with `number` 2, `s1` becomes `s1~2`."""
        taken = {*used, *(name for subtask in self.subtasks for name in (subtask.id, *subtask.depends_on))}
        new: dict[str, str] = {}
        for subtask in self.subtasks:
            if subtask.id in used:
                new[subtask.id] = _free(subtask.id, taken, number)
                taken.add(new[subtask.id])
        renamed = (
            {"id": new.get(s.id, s.id), "depends_on": tuple(new.get(need, need) for need in s.depends_on)}
            for s in self.subtasks
        )
        subtasks = tuple(s.model_copy(update=ids) for s, ids in zip(self.subtasks, renamed, strict=True))
        return self.model_copy(update={"subtasks": subtasks})

    def following(self, earlier: Iterable[Subtask]) -> Plan:
        """Return the plan of a later round, whose subtasks name in `replaces` what they replace of `earlier` ones.

        Those are the subtasks of the same work, and those that they name already; names of others are left out.
        """
        alike: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
        known: set[str] = set()
        for subtask in earlier:
            alike[subtask.work].append(subtask.id)
            known.add(subtask.id)
        replaced = (
            (subtask, (*filter(known.__contains__, subtask.replaces), *(alike[subtask.work] if known else ())))
            for subtask in self.subtasks
        )
        subtasks = (
            subtask.model_copy(update={"replaces": tuple(dict.fromkeys(ids))}) if ids or subtask.replaces else subtask
            for subtask, ids in replaced
        )
        return self.model_copy(update={"subtasks": tuple(subtasks)})

    @model_validator(mode="after")
    def _is_consistent(self) -> Plan:
        counts = Counter(subtask.id for subtask in self.subtasks)
        twice = sorted(id_ for id_, count in counts.items() if count > 1)
        if twice:
            raise ValueError(f"subtask ids must be unique, these are used twice: {', '.join(map(repr, twice))}")
        if not any(subtask.depends_on for subtask in self.subtasks):
            return self
        try:
            TopologicalSorter({subtask.id: subtask.depends_on for subtask in self.subtasks}).prepare()
        except CycleError as error:
            _, cycle = error.args
            raise ValueError(f"subtasks depend on each other in a cycle: {' -> '.join(reversed(cycle))}") from error
        return self


def _free(id_: str, taken: Set[str], number: int) -> str:
    """Return `id_` with the first free number from `number` on, cut where it would be too long."""
    suffixes = (f"~{n}" for n in count(number))
    return next(new for end in suffixes if (new := f"{id_[: _LONGEST - len(end)]}{end}") not in taken)
