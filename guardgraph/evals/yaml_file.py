"""Reading a YAML file that holds a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from guardgraph.state import BadInput

__all__ = ("LONGEST", "mapping_in")

LONGEST = 16 * 1024 * 1024
"""The largest file that is read, in bytes."""


def mapping_in(place: Path) -> Mapping[str, Any]:
    """Return what a YAML file holds, which must be a mapping; plain data only, and no key twice.

    Raises:
        BadInput: the file cannot be read, is too large, or is no such YAML; the message begins with its name.
    """
    try:
        if place.stat().st_size > LONGEST:
            raise BadInput(f"{place}: a suite has at most {LONGEST} bytes, this file {place.stat().st_size}")
        text = place.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{place}: cannot be read ({error.strerror}); name a YAML file of cases") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{place}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    try:
        _refuse_twins(cast(object, yaml.compose(text, Loader=yaml.SafeLoader)))
        described: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{place}: is not YAML: {_what_is_wrong(error)}") from error
    if not isinstance(described, dict):
        held = "nothing" if described is None else f"a {type(described).__name__}"
        raise BadInput(f"{place}: must hold `cases`, a list of questions; it holds {held}")
    return cast(dict[str, Any], described)


def _refuse_twins(root: object) -> None:
    """Refuse a key that stands twice in one mapping: YAML's loader would keep the last and say nothing."""
    pending, seen = [root], set[int]()
    while pending:
        node = pending.pop()
        if not isinstance(node, yaml.CollectionNode) or id(node) in seen:
            continue
        seen.add(id(node))  # an anchor may be used in many places, and in itself
        if not isinstance(node, yaml.MappingNode):
            pending += node.value
            continue
        keys = set[str]()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                problem = f"the key {key.value!r} stands there twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            keys.add(key.value if isinstance(key, yaml.ScalarNode) else "")
            pending.append(value)


def _what_is_wrong(error: Exception) -> str:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    if mark is None or not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
