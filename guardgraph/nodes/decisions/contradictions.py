"""Find contradictions between the claims of accepted results, and have them resolved before the author writes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import combinations
from typing import Any, NamedTuple

from langgraph.types import Send
from pydantic import JsonValue

from guardgraph.agents.agent import Agent
from guardgraph.agents.defaults import with_defaults
from guardgraph.nodes.accepted import accepted_of, subtasks_by_id
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.nodes.team_spec import EXIT
from guardgraph.state import Claim, Claims, Gap, Result, Subtask, claims_in

__all__ = (
    "Contradiction",
    "claims_of",
    "contradictions",
    "is_same_value",
    "resolve_first",
    "resolver_with_defaults",
    "was_resolved",
)

_TOLERANCE = Decimal("0.001")
"""How far two numbers may differ, relative to the larger one, and still be the same, unless both are whole."""
_NUMBER = re.compile(r"([^\d+.-]*)([+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)([^\d]*)")
_GOAL = "Decide which of the contradicting claims hold."
_INSTRUCTIONS = """\
Results of others contradict each other; the inputs list the claims. Weigh their evidence, and answer one claim for \
each contradiction, with the same subject and attribute and the value that holds. Leave out what cannot be decided.\
"""
_DASHES = str.maketrans("\N{MINUS SIGN}\N{EN DASH}", "--")
"""A minus sign and an en dash, as texts contain them, to the sign that numbers are read with."""


class Contradiction(NamedTuple):
    """Claims of accepted results with different values for the same attribute of the same subject."""

    claims: tuple[tuple[Claim, Result], ...]
    """Each claim with the result that contains it, in the order of the results."""

    @property
    def name(self) -> str:
        """The subject and the attribute."""
        claim, _ = self.claims[0]
        return f"{claim.subject}: {claim.attribute}"

    def __str__(self) -> str:
        """Name each value and who states it."""
        stated = "; ".join(f"{claim.value!s} ({result.agent})" for claim, result in self.claims)
        return f"accepted results contradict each other: {stated}"


def claims_of(result: Result) -> tuple[Claim, ...]:
    """Return the claims in a result: its value is a claim or a list of claims, or has a field `claims` with these.

    What else is in the list, or in a claim beside its own fields, does not matter.
    """
    return claims_in(result.value)


def contradictions(results: Iterable[Result]) -> tuple[Contradiction, ...]:
    """Return the contradictions between the claims of results, each with all claims about it."""
    claims: dict[tuple[str, str], list[tuple[Claim, Result]]] = {}
    for result in results:
        for claim in claims_of(result):
            claims.setdefault(_key(claim), []).append((claim, result))
    return tuple(Contradiction(tuple(found)) for found in claims.values() if _differ([claim for claim, _ in found]))


def is_same_value(value: object, other_value: object) -> bool:
    """Return whether two values of claims are the same.

    Texts are compared without case, white space around and between words, and a full stop at the end. Numbers, in texts
    too, are the same up to 0.1 % of the larger one where their units are the same, or only one has a unit; whole
    numbers, such as years, only where they are equal.
    """
    first, second = _text(value), _text(other_value)
    if first == second:
        return True
    left, right = _NUMBER.fullmatch(first), _NUMBER.fullmatch(second)
    if left is None or right is None:
        return False
    units = {"".join((match[1] + match[3]).split()) for match in (left, right)} - {""}
    one, other = (Decimal(match[2].replace(",", "")) for match in (left, right))
    tolerance = _TOLERANCE if "." in left[2] + right[2] else 0
    return len(units) < 2 and abs(one - other) <= tolerance * max(abs(one), abs(other))


def resolve_first(gate: GateContext, destination: Destination, resolver: Agent | None) -> Destination:
    """Return where a run goes that would end at `destination`: to the resolver, while claims contradict each other.

    It is sent them once, as one subtask, with the results that contain them. What is not decided then, or where there
    is no resolver or the run was stopped, is a gap, so that the outcome is never better than what was found.
    """
    if not _is_end(gate, destination):
        return destination
    found = _undecided(gate.state, resolver)
    if not found:
        return destination
    if resolver is not None and gate.state.get("ending") is None and not was_resolved(gate.state):
        return [gate.send(resolver, _question(gate.state, found))]
    gaps = [Gap(subtask=one.name, reason=str(one), round=gate.round) for one in found]
    gate.write_unchecked(gaps=[gap for gap in gaps if gap not in gate.gaps])
    return destination if destination == EXIT else gate.conclude()


def was_resolved(state: Mapping[str, Any]) -> bool:
    """Return whether a resolver was sent the contradictions of this run."""
    return any(subtask.goal == _GOAL and "contradictions" in subtask.inputs for subtask in state.get("subtasks") or ())


def resolver_with_defaults(resolver: Agent) -> Agent:
    """Return a resolver that is a model with what it was not given: output and instructions."""
    return with_defaults(resolver, output=Claims, instructions=_INSTRUCTIONS)


def _is_end(gate: GateContext, destination: Destination) -> bool:
    if destination == EXIT:
        return True
    author = gate.team.author
    sends = destination if isinstance(destination, Sequence) and not isinstance(destination, str) else []
    return (
        author is not None and bool(sends) and all(isinstance(one, Send) and one.node == author.name for one in sends)
    )


def _undecided(state: Mapping[str, Any], resolver: Agent | None) -> list[Contradiction]:
    """Return the contradictions between results that count, about which the resolver has not decided."""
    names = {agent.name for agent in resolver.fallback_chain} if resolver is not None else set[str]()
    planned, accepted = subtasks_by_id(state), accepted_of(state)
    whole = [one.subtask for one in accepted if one.status == "ok" and one.subtask in planned]
    replaced = {id_ for one in whole for id_ in planned[one or ""].replaces}
    work = [one for one in accepted if one.agent not in names and one.subtask not in replaced]
    decisions = [claim for one in accepted if one.agent in names for claim in claims_of(one)]
    return [one for one in contradictions(work) if not _is_decided(one, decisions)]


def _is_decided(contradiction: Contradiction, decisions: Sequence[Claim]) -> bool:
    key = _key(contradiction.claims[0][0])
    decided = [claim for claim in decisions if _key(claim) == key]
    return bool(decided) and not _differ(decided)


def _question(state: Mapping[str, Any], found: Sequence[Contradiction]) -> Subtask:
    """Return the subtask of the resolver; it depends on those of the results, which are its context."""
    planned = subtasks_by_id(state)
    needed = dict.fromkeys(result.subtask for one in found for _, result in one.claims if result.subtask in planned)
    listed: list[JsonValue] = [
        {
            "subject": one.claims[0][0].subject,
            "attribute": one.claims[0][0].attribute,
            "values": [{"value": claim.value, "from": result.agent} for claim, result in one.claims],
        }
        for one in found
    ]
    id_ = next(
        name
        for n in range(len(planned) + 1)
        if (name := f"contradictions~{n}" if n else "contradictions") not in planned
    )
    return Subtask(id=id_, goal=_GOAL, depends_on=tuple(filter(None, needed)), inputs={"contradictions": listed})


def _differ(claims: Sequence[Claim]) -> bool:
    """Whether claims about one attribute have different values, and not all state that it may have several."""
    if all(claim.several for claim in claims):
        return False
    values = {_text(claim.value): claim.value for claim in claims}.values()
    return any(not is_same_value(one, other) for one, other in combinations(values, 2))


def _key(claim: Claim) -> tuple[str, str]:
    return _text(claim.subject), _text(claim.attribute)


def _text(value: object) -> str:
    plain = unicodedata.normalize("NFKC", str(value)).casefold().translate(_DASHES)
    return " ".join(plain.split()).rstrip(".")
