"""A set of cases, and reading it from a file."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import Field, ValidationError, field_validator

from guardgraph.evals.case import Case, Name
from guardgraph.evals.yaml_file import mapping_in
from guardgraph.state import BadInput, FrozenModel

__all__ = ("Suite", "load_suite")

_FIELDS = frozenset({"name", "cases"})


class Suite(FrozenModel):
    """Cases that are run and scored together."""

    name: Name
    """What its runs are found by; only runs of one suite are compared."""
    cases: tuple[Case, ...] = Field(min_length=1)
    """What is asked, in this order."""

    @field_validator("cases")
    @classmethod
    def _each_id_once(cls, cases: tuple[Case, ...]) -> tuple[Case, ...]:
        twice = [case_id for case_id, count in Counter(case.id for case in cases).items() if count > 1]
        if twice:
            raise ValueError(f"several cases have the id {twice[0]!r}; give each its own")
        return cases

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that change with anything but the random ids of tasks."""
        described = json.dumps([self.name, [_facts_of(case) for case in self.cases]], sort_keys=True)
        return hashlib.sha256(described.encode()).hexdigest()

    def tagged(self, *tags: str) -> Suite:
        """Return the suite of those cases that have at least one of `tags`.

        Raises:
            BadInput: no case has one.
        """
        cases = tuple(case for case in self.cases if case.tags & set(tags))
        if not cases:
            known = ", ".join(sorted({tag for case in self.cases for tag in case.tags})) or "none"
            raise BadInput(f"suite {self.name!r} has no case tagged {' or '.join(map(repr, tags))} (tags: {known})")
        return Suite(name=self.name, cases=cases)


def load_suite(path: str | Path) -> Suite:
    """Return the suite that a YAML file of at most 16 MB describes: `cases`, and a `name` (else the file's own).

    Raises:
        BadInput: the file cannot be read, or something in it does not fit; all misfits are named, with case and field.
    """
    place = Path(path)
    described = mapping_in(place)
    unknown = sorted(map(str, described.keys() - _FIELDS))
    problems = [f"field {name!r} is unknown; a suite has `name` and `cases`" for name in unknown]
    entries = described.get("cases")
    if not isinstance(entries, list) or not entries:
        raise BadInput(f"{place}: `cases` must be a list of at least one case, got {entries!r:.80}")
    cases: list[Case] = []
    for number, entry in enumerate(cast(list[Any], entries), start=1):
        try:
            cases.append(Case.model_validate(entry))
        except ValidationError as error:
            problems += [f"{_name_of(entry, number)}, {_problem(one)}" for one in error.errors(include_url=False)]
    if not problems:
        try:
            return Suite(name=described.get("name", place.stem), cases=tuple(cases))
        except ValidationError as error:
            problems = [_problem(one) for one in error.errors(include_url=False)]
    raise BadInput("\n".join(f"{place}: {problem}" for problem in problems))


def _name_of(entry: Any, number: int) -> str:
    name = cast(dict[str, Any], entry).get("id") if isinstance(entry, dict) else None
    return f"case {number}" if name is None else f"case {name!r}"


def _problem(error: Mapping[str, Any]) -> str:
    field = ".".join(map(str, error["loc"]))
    message = str(error["msg"]).removeprefix("Value error, ").replace("a valid tuple", "a list")
    got = f", got {error['input']!r:.80}" if isinstance(error["input"], str | int | float | None) else ""
    return f"field `{field}`: {message}{got}" if field else f"{message}{got}"


def _facts_of(case: Case) -> dict[str, Any]:
    """Return a case as JSON data, with its sets in order and without the random id of its task."""
    facts = case.model_dump(mode="json", exclude_defaults=True)  # so that a new field with a default changes nothing
    task = {**facts["task"], "id": case.id, "categories": sorted(case.task.categories)}
    return {**facts, "task": task, "tags": sorted(case.tags)}
