"""Checks that the arguments of a declaration (an agent, a guard, a pattern) have the types of their annotations."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from functools import cache
from inspect import formatannotation, get_annotations
from types import NoneType, SimpleNamespace
from typing import Any, get_args, get_origin, get_type_hints

from guardgraph.state.errors import BadGraph, BadInput

__all__ = ("LARGEST", "check_count", "check_fields", "must_be", "shown")

LARGEST = 10**18
"""The largest limit that is counted; a database holds no number above 9.2e18."""

_SEQUENCES = (Sequence, Collection)


def check_fields(instance: Any, *names: str, owner: str = "", at_least: Mapping[str, int] | None = None) -> None:
    """Raise `BadGraph` for the first field (of `names`, or of all) of a dataclass that is not as it is annotated.

    So it does for a field that is less than `at_least` allows, or more than 1e18.
    """
    kind = type(instance)
    for name in names or [field.name for field in fields(instance)]:
        must_be(owner or kind.__name__, name, getattr(instance, name), _annotation(kind, name))
    for name, least in (at_least or {}).items():
        value = getattr(instance, name)
        if value is not None and value < least:
            bound = f"be at least {least}" if least else "not be negative"
            raise BadGraph(f"`{name}` must {bound}, got {value!r}")
        if value is not None and value > LARGEST:
            raise BadGraph(f"`{name}` must be at most {LARGEST:.0e}, got {shown(value)}")


def check_count(name: str, value: object, *, least: int = 0) -> None:
    """Raise `BadInput` where an argument is no whole number from `least` to 1e18."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= LARGEST:
        bound = f"of at least {least}" if least else "that is not negative"
        raise BadInput(f"`{name}` must be a whole number {bound}, got {shown(value)}")


def must_be(owner: str, name: str, value: object, kind: Any) -> None:
    """Raise `BadGraph` where `value` is not of `kind`: a type, a union, a `Sequence[…]`, or a `Callable`.

    As type checkers do, it takes an `int` for a `float`; but no `True` for either, and no text for a sequence.
    """
    if _is_valid(value, kind):
        return
    item = _item_type(kind)
    if item is not None and value is not None and _is_valid(value, item):
        raise BadGraph(f"{owner}: `{name}` must be a list, got one {_type_name(value)}: write {name}=[…]")
    subject = f"`{name}`"
    if item is not None and isinstance(value, list | tuple):
        subject, kind, value = f"each of `{name}`", item, next(one for one in value if not _is_valid(one, item))
    got = shown(value) if isinstance(value, str | int | float | None) else _type_name(value)
    wanted = re.sub(r"\b\w+\.", "", formatannotation(kind))  # without the names of modules
    raise BadGraph(f"{owner}: {subject} must be {wanted}, got {got}")


@cache
def _annotation(of: type, name: str) -> Any:
    """Return the annotation of one field; those of other fields may name classes that are not imported yet."""
    owner = next(one for one in of.__mro__ if name in get_annotations(one))
    one = SimpleNamespace(__annotations__={name: get_annotations(owner)[name]})
    return get_type_hints(one, vars(sys.modules[owner.__module__]))[name]


def _is_valid(value: object, kind: Any) -> bool:
    if kind is Any:
        return True
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    origin = get_origin(kind)
    if origin in _SEQUENCES:
        item = get_args(kind)[0]
        return isinstance(value, origin) and not isinstance(value, str) and all(_is_valid(one, item) for one in value)
    if origin is Callable:
        return callable(value)
    if origin is Mapping:
        pairs = value.items() if isinstance(value, Mapping) else [(None, None)]
        return all(_is_valid(one, want) for pair in pairs for one, want in zip(pair, get_args(kind), strict=True))
    if origin is None:
        return isinstance(value, kind or NoneType)
    return any(_is_valid(value, one) for one in get_args(kind))


def _item_type(kind: Any) -> Any:
    """Return the type of the items of a sequence; `None` where `kind` is none."""
    if get_origin(kind) in _SEQUENCES:
        return get_args(kind)[0]
    return next(filter(None, map(_item_type, () if get_origin(kind) in (Callable, Mapping) else get_args(kind))), None)


def shown(value: object) -> str:
    """Return the beginning of a value, for a message."""
    return f"{value!r:.80}"


def _type_name(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
