"""Lists that grow: what of a list is stored already, and what has to be added.

The elements of the list that was stored last are remembered. An element that is the same object, and was not changed
in place, needs not be packed again; a *witness*, a cheap copy of its fields, shows whether it was changed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from hashlib import blake2b
from operator import attrgetter, is_
from pathlib import PurePath
from typing import Any, NamedTuple
from uuid import UUID

import ormsgpack
from pydantic import BaseModel

from guardgraph.storage.sql.checkpoints.packing import PART, Segment, Token, framed

__all__ = ("Chunk", "KnownList", "StoredList", "changed_list", "known_list", "new_list")

_MANY = 4096
"""How many elements one row holds at most where they are more than fit a statement; a token has 259 bytes at most."""
_CONSTANT = frozenset(
    {str, bytes, int, float, bool, type(None), complex, Decimal, UUID, date, datetime, time, timedelta}
)
_TEXTS = frozenset({str, type(None), bool})
_EMPTY: dict[type[Any], Any] = {list: [], dict: {}}
"""Shared by all witnesses, for a long list would need thousands."""
_OPTIONS = (
    ormsgpack.OPT_NON_STR_KEYS
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)
_ATOM, _TUPLE, _MODEL = 1, 2, 3
_UNWITNESSED = object()
_EXTRA, _PRIVATE = attrgetter("__pydantic_extra__"), attrgetter("__pydantic_private__")


class Chunk(NamedTuple):
    """A row to be added to a branch; `is_new` is the first one of a new branch."""

    branch: int
    lo: int
    hi: int
    data: bytes
    is_new: bool


@dataclass(frozen=True, slots=True)
class KnownList:
    """A list as it is stored, with its elements as they were then."""

    segments: tuple[Segment, ...]
    tokens: list[Token]
    elements: list[Any] = field(repr=False)
    witnesses: list[Any] | None = field(repr=False)
    """None where elements are trusted not to change in place."""
    models: int = 0
    """How many elements at the beginning have the fields of a model as their witness."""
    hasher: Any = field(default=None, repr=False)
    """What has hashed the tokens of the last segment, so that appending to it costs nothing."""


class StoredList(NamedTuple):
    """What has to be stored of a list, and what is known of it afterwards."""

    known: KnownList
    chunks: tuple[Chunk, ...]


def known_list(
    segments: Sequence[Segment], tokens: list[Token], elements: Sequence[Any], *, trust_identity: bool
) -> KnownList:
    """Return what is known of a list that was just read."""
    witnesses = None if trust_identity else [*map(_witness, elements)]
    return KnownList(tuple(segments), tokens, [*elements], witnesses, _leading_models(witnesses, 0))


def new_list(elements: Sequence[Any], tokens: list[Token], *, trust_identity: bool) -> StoredList:
    """Return a list of which nothing is stored."""
    empty = KnownList((), [], [], None if trust_identity else [])
    return _stored(empty, 0, elements, tokens, closed=frozenset(), unchanged=0)


def changed_list(
    known: KnownList, elements: Sequence[Any], pack: Callable[[int], Token], *, closed: Collection[int]
) -> StoredList:
    """Return what `elements` adds to a known list, or changes in it; no branch in `closed` is appended to.

    `pack` returns the token of the element at an index.
    """
    shared = unchanged = _unchanged(known, elements)
    tokens: list[Token] = []
    for at in range(shared, len(elements)):
        token = pack(at)
        if not tokens and at == shared and at < len(known.tokens) and token == known.tokens[at]:
            shared += 1
        else:
            tokens.append(token)
    return _stored(known, shared, elements, tokens, closed=closed, unchanged=unchanged)


def _stored(
    known: KnownList,
    shared: int,
    elements: Sequence[Any],
    tokens: list[Token],
    *,
    closed: Collection[int],
    unchanged: int,
) -> StoredList:
    """Return a list that has the first `shared` tokens of `known`, then `tokens`; `unchanged` need no new witness."""
    kept, hasher = _cut(known, shared), None
    chunks: tuple[Chunk, ...] = ()
    if tokens and kept and shared == len(known.tokens) and kept[-1].branch not in closed:
        branch, lo, _ = kept.pop()
        hasher, data, hi = _hasher_of_last(known, lo), framed(tokens), lo + len(tokens)
        hasher.update(data)
        kept.append(Segment(branch, hi, hasher.digest()))
        chunks = _chunks(branch, lo, tokens, data)
    elif tokens:
        at, tail = shared, tokens
        while kept and kept[-1].upto <= len(tail):  # so that a list never has more segments than its length has bits
            upto = kept.pop().upto
            tail = known.tokens[at - upto : at] + tail
            at -= upto
        branch, data = secrets.randbits(62), framed(tail)
        hasher = blake2b(data, digest_size=16)
        kept.append(Segment(branch, len(tail), hasher.digest()))
        chunks = _chunks(branch, 0, tail, data)
    witnesses = known.witnesses
    if witnesses is not None:
        witnesses = [*witnesses[:unchanged], *map(_witness, elements[unchanged:])]
    models = _leading_models(witnesses, min(known.models, unchanged))
    segments, all_tokens = tuple(kept), known.tokens[:shared] + tokens
    return StoredList(KnownList(segments, all_tokens, [*elements], witnesses, models, hasher), chunks)


def _chunks(branch: int, lo: int, tokens: Sequence[Token], data: bytes) -> tuple[Chunk, ...]:
    """Return the rows of tokens that are added to a branch: one, unless there are very many."""
    if len(data) <= PART:
        return (Chunk(branch, lo, lo + len(tokens), data, is_new=lo == 0),)
    cut = [tokens[at : at + _MANY] for at in range(0, len(tokens), _MANY)]
    starts = range(lo, lo + len(tokens), _MANY)
    return tuple(Chunk(branch, at, at + len(some), framed(some), at == 0) for at, some in zip(starts, cut, strict=True))


def _leading_models(witnesses: Sequence[Any] | None, known: int) -> int:
    """Return how many witnesses at the beginning are fields of a model, when `known` of them are."""
    count = known
    while witnesses is not None and count < len(witnesses) and type(witnesses[count]) is dict:
        count += 1
    return count


def _hasher_of_last(known: KnownList, length: int) -> Any:
    """Return what has hashed the last `length` tokens, which are those of the last segment."""
    return known.hasher.copy() if known.hasher else blake2b(framed(known.tokens[-length:]), digest_size=16)


def _cut(known: KnownList, length: int) -> list[Segment]:
    """Return the segments of the first `length` elements."""
    kept: list[Segment] = []
    at = 0
    for segment in known.segments:
        upto = min(segment.upto, length - at)
        if upto <= 0:
            break
        whole = upto == segment.upto
        kept.append(segment if whole else Segment(segment.branch, upto, _digest(known.tokens[at : at + upto])))
        at += upto
    return kept


def _digest(tokens: Sequence[Token]) -> bytes:
    return blake2b(framed(tokens), digest_size=16).digest()


def _unchanged(known: KnownList, elements: Sequence[Any]) -> int:
    """Return how many elements at the beginning are the objects that were stored, as they were then."""
    same = _same_objects(known.elements, elements, min(len(known.elements), len(elements)))
    if known.witnesses is None:
        return same
    models = min(same, known.models)
    if not _are_unchanged(elements[:models], known.witnesses[:models]):
        models = 0
    for at in range(models, same):
        witness, element = known.witnesses[at], elements[at]
        if witness is not None and not _holds(witness, element):
            return at
    return same


def _are_unchanged(models: Sequence[Any], witnesses: list[Any]) -> bool:
    """Return for many models at once whether all are as they were; the objects are the same."""
    try:
        return not any(map(_EXTRA, models)) and not any(map(_PRIVATE, models)) and [*map(vars, models)] == witnesses
    except Exception:  # of what was assigned to a field, and cannot be compared with a text
        return False


def _same_objects(stored: Sequence[Any], elements: Sequence[Any], length: int) -> int:
    if all(map(is_, stored[:length], elements[:length])):
        return length
    return next(at for at in range(length) if stored[at] is not elements[at])


def _witness(element: Any) -> Any:
    """Return what shows later whether `element` was changed in place; None where it cannot be."""
    kind = type(element)
    if kind in _CONSTANT:
        return None
    fields = _fields(element)
    if fields is None:
        return _bytes_of(element, fields)
    found = fields.copy()
    for name, item in fields.items():
        if type(item) not in _TEXTS:
            if type(item) not in _EMPTY or item:
                return _bytes_of(element, fields)
            found[name] = _EMPTY[type(item)]
    return found


def _holds(witness: Any, element: Any) -> bool:
    if type(witness) is dict:
        return _are_unchanged([element], [witness])
    return witness is not _UNWITNESSED and witness == _bytes_of(element, _fields(element))


def _fields(element: Any) -> dict[str, Any] | None:
    """Return the fields of a model that has nothing besides its fields."""
    if isinstance(element, BaseModel) and not element.__pydantic_extra__ and not element.__pydantic_private__:
        return vars(element)
    return None


def _bytes_of(element: Any, fields: dict[str, Any] | None) -> Any:
    if fields is None and isinstance(element, BaseModel):
        return _UNWITNESSED  # packed again each time
    try:
        return _packed(element if fields is None else fields)
    except Exception:  # whatever it is, it has no cheap witness
        return _UNWITNESSED


def _constant(value: Any) -> ormsgpack.Ext:
    """Return something that changes whenever `value` does, and that no plain data is equal to."""
    if type(value) in _CONSTANT or isinstance(value, PurePath | Enum):
        return ormsgpack.Ext(_ATOM, f"{type(value).__qualname__} {value!r}".encode("utf-8", "surrogatepass"))
    if type(value) is tuple:
        return ormsgpack.Ext(_TUPLE, _packed([*value]))
    if (fields := _fields(value)) is not None:
        return ormsgpack.Ext(_MODEL, _packed([type(value).__qualname__, fields]))
    raise TypeError


def _packed(tree: Any) -> bytes:
    return ormsgpack.packb(tree, default=_constant, option=_OPTIONS)
