"""Whether what somebody declares is of the kind that it has to be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from functools import cache
from inspect import get_annotations
from types import NoneType, SimpleNamespace
from typing import Any, get_args, get_origin, get_type_hints

from guardgraph.state.errors import BadGraph

__all__ = ("check_fields", "must_be")

_WORDS: dict[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    NoneType: "None",
}
_MANY = (Sequence, Collection)


def check_fields(thing: Any, *names: str, owner: str = "") -> None:
    """Raise `BadGraph` for the first field (of `names`, or of all) of a dataclass that is not as it is annotated."""
    kind = type(thing)
    for name in names or [field.name for field in fields(thing)]:
        must_be(owner or kind.__name__, name, getattr(thing, name), _annotated(kind, name))


def must_be(owner: str, name: str, value: object, kind: Any) -> None:
    """Raise `BadGraph` where `value` is not of `kind`: a type, a union, a `Sequence[…]`, or a `Callable`.

    As type checkers do, it takes a whole number for a number, but no `True` for either and no text for a sequence.
    """
    if _fits(value, kind):
        return
    item = _item(kind)
    if item is not None and value is not None and _fits(value, item):
        raise BadGraph(f"{owner}: `{name}` must be a list, got one {_type(value)}: write {name}=[…]")
    if item is not None and isinstance(value, list | tuple):
        wrong = next(one for one in value if not _fits(one, item))
        raise BadGraph(f"{owner}: each of `{name}` must be {_said(item)}, got {_got(wrong)}")
    raise BadGraph(f"{owner}: `{name}` must be {_said(kind)}, got {_got(value)}")


@cache
def _annotated(of: type, name: str) -> Any:
    """Return what one field is annotated as; other annotations may name what is loaded late."""
    owner = next(one for one in of.__mro__ if name in get_annotations(one))
    one = SimpleNamespace(__annotations__={name: get_annotations(owner)[name]})
    return get_type_hints(one, vars(sys.modules[owner.__module__]))[name]


def _fits(value: object, kind: Any) -> bool:
    if kind is Any:
        return True
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    origin = get_origin(kind)
    if origin in _MANY:
        return isinstance(value, origin) and not isinstance(value, str) and all(_fits(v, _item(kind)) for v in value)
    if origin is Callable:
        return callable(value)
    if origin in (None, Mapping):
        return isinstance(value, origin or kind or NoneType)
    return any(_fits(value, one) for one in get_args(kind))


def _item(kind: Any) -> Any:
    """Return what each item of a sequence is to be; `None` where no sequence is wanted."""
    if get_origin(kind) in _MANY:
        return get_args(kind)[0]
    return next(filter(None, map(_item, () if get_origin(kind) is Callable else get_args(kind))), None)


def _said(kind: Any) -> str:
    origin = get_origin(kind)
    if origin in _MANY:
        return "a list"
    if origin is Callable:
        return "a function"
    if origin is Mapping:
        return "a mapping"
    choices = get_args(kind) or (kind,)
    *first, last = [_said(one) if get_args(one) else _WORDS.get(one) or f"{one.__name__}(…)" for one in choices]
    return f"{', '.join(first)} or {last}" if first else last


def _got(value: object) -> str:
    return repr(value)[:80] if isinstance(value, str | int | float | None) else _type(value)


def _type(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
