"""A set of cases, and how it is read from a file."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError, field_validator

from guardgraph.evals.case import Case, Name
from guardgraph.state import BadInput, FrozenModel

__all__ = ("MAX_BYTES", "Suite", "load_suite", "read_mapping")

MAX_BYTES = 16 * 1024 * 1024
"""The largest file that is read, in bytes."""


class Suite(FrozenModel):
    """Cases that are run and scored together."""

    name: Name
    """The name by which its runs are found; only runs of one suite are compared."""
    cases: tuple[Case, ...]
    """The cases, in the order of the report."""

    @field_validator("cases")
    @classmethod
    def _check_cases(cls, cases: tuple[Case, ...]) -> tuple[Case, ...]:
        if not cases:
            raise ValueError("a suite needs at least one case")
        case_id, count = Counter(case.id for case in cases).most_common(1)[0]
        if count > 1:
            raise ValueError(f"several cases have the id {case_id!r}; give each its own")
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


class _UniqueKeyLoader(yaml.SafeLoader):
    """Loads plain data; raises on a duplicate key, where YAML's own loader silently keeps the last one."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise yaml.MarkedYAMLError(problem=f"duplicate key {key.value!r}", problem_mark=key.start_mark)
            keys.add(str(key.value))
        return node


def load_suite(path: str | Path) -> Suite:
    """Return the suite that a YAML file of at most 16 MB describes: `cases`, and a `name` (else the file's own).

    Raises:
        BadInput: the file cannot be read, or is not a suite; every problem is listed with its case and field.
    """
    path = Path(path)
    fields = {"name": path.stem, **read_mapping(path)}
    try:
        return Suite.model_validate(fields)
    except ValidationError as error:
        problems = [f"{path}: {_problem(one, fields)}" for one in error.errors(include_url=False)]
        raise BadInput("\n".join(problems)) from error


def _problem(error: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    """Return one error of pydantic with the name of the case and the field."""
    case, location = "", error["loc"]
    if location[0] == "cases" and len(location) > 1:
        entry, location = fields["cases"][location[1]], location[2:]
        name = entry.get("id") if isinstance(entry, dict) else None
        case = f"case {error['loc'][1] + 1 if name is None else repr(name)}, "
    field = f"field `{'.'.join(map(str, location))}`: " if location else ""
    message = str(error["msg"]).removeprefix("Value error, ").replace("a valid tuple", "a list")
    got = f", got {error['input']!r:.80}" if isinstance(error["input"], str | int | float | None) else ""
    return f"{case}{field}{message}{got}"


def _facts_of(case: Case) -> dict[str, Any]:
    """Return a case as JSON data, with its sets in order and without the random id of its task."""
    facts = case.model_dump(mode="json", exclude_defaults=True)  # so that a new field with a default changes nothing
    task = {**facts["task"], "id": case.id, "categories": sorted(case.task.categories)}
    return {**facts, "task": task, "tags": sorted(case.tags)}


def read_mapping(path: Path) -> Mapping[str, Any]:
    """Return the mapping that a YAML file holds; plain data only, without duplicate keys.

    Raises:
        BadInput: the file cannot be read, is too large, or is no such YAML; the message begins with its name.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput(f"{path}: a suite has at most {MAX_BYTES} bytes, this file {path.stat().st_size}")
        data: Any = _UniqueKeyLoader(path.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); name a YAML file of cases") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{path}: is not YAML: {_yaml_problem(error)}") from error
    if not isinstance(data, dict):
        found = "nothing" if data is None else f"a {type(data).__name__}"
        raise BadInput(f"{path}: must hold `cases`, a list of questions; it holds {found}")
    return cast(dict[str, Any], data)


def _yaml_problem(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark):
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())
