"""Claims that can be compared: the value of an attribute of a subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import Field, ValidationError

from guardgraph.state.evidence import Evidence
from guardgraph.state.frozen_model import FrozenModel

__all__ = ("Claim", "Claims", "GroundedClaim", "claims_in", "evidence_of")


class Claim(FrozenModel):
    """One fact in an answer, so that it can be compared with those of other agents.

    An agent answers a claim, a list of claims, or an object with a field `claims`.
    """

    subject: str = Field(min_length=1, max_length=1_000)
    """What it is about, such as `Northwind`."""
    attribute: str = Field(min_length=1, max_length=1_000)
    """Which property of it, such as `price per seat`."""
    value: bool | int | float | str
    """Its value: a text, a number with or without its unit (`12 USD`), or whether it holds."""
    several: bool = False
    """Whether the attribute may have several values; where all claims state so, different values do not contradict."""


class GroundedClaim(Claim):
    """A claim with the evidence that it rests on itself, beside that of its whole answer."""

    critical: bool = False
    """Whether much depends on it: see `Grounding(critical=…)`."""
    evidence: tuple[Evidence, ...] = ()
    """What it rests on."""


class Claims(FrozenModel):
    """Several claims; the answer of a resolver that is a model."""

    claims: tuple[Claim, ...] = ()
    """The claims that hold."""
    reasoning: str = ""
    """Why."""


def claims_in(value: object) -> tuple[Claim, ...]:
    """Return the claims in a value: it is a claim or a list of claims, or has a field `claims` with these.

    What else is in the list, or in a claim beside its own fields, does not matter.
    """
    given: Any = value
    if isinstance(given, Mapping) and "claims" in given:
        given = cast("Mapping[str, Any]", given)["claims"]
    items = cast("list[object]", given) if isinstance(given, list) else [given]
    return tuple(claim for item in items if (claim := _claim(item)) is not None)


def evidence_of(claim: Claim) -> tuple[Evidence, ...]:
    """Return what a claim rests on itself."""
    return claim.evidence if isinstance(claim, GroundedClaim) else ()


def _claim(given: object) -> Claim | None:
    """Return what is given as a claim, if it is one; its field `evidence` may be another thing than that of ours."""
    if not isinstance(given, Mapping):
        return None
    fields = cast("Mapping[str, Any]", given)
    for kind in (GroundedClaim, Claim) if {"critical", "evidence"} & fields.keys() else (Claim,):
        try:
            return kind.model_validate({name: fields[name] for name in kind.model_fields if name in fields})
        except ValidationError:
            continue
    return None
