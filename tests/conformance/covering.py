"""A covering array: few cases in which every possible pair of values occurs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product
from typing import Any
from zlib import crc32

__all__ = ("pairs",)

_Pair = tuple[tuple[int, Any], tuple[int, Any]]


def pairs(dimensions: Sequence[Sequence[Any]], is_possible: Callable[[tuple[Any, ...]], bool]) -> list[tuple[Any, ...]]:
    """Return possible cases in which each pair of values that any possible case has occurs; always the same ones.

    Greedy: each case is begun with the first pair that is still open, and filled with what covers most of the others.
    Among equals the choice looks random, so that cases differ in more than the pairs that they are there for.
    """
    reachable: dict[_Pair, None] = {}
    for case in product(*dimensions):
        if is_possible(case):
            reachable.update(dict.fromkeys(_pairs_of(case)))
    cases: list[tuple[Any, ...]] = []
    while reachable:
        case = _filled(dimensions, is_possible, reachable, dict(next(iter(reachable))), number=len(cases))
        assert case is not None, "a reachable pair is in some possible case"
        cases.append(case)
        for pair in _pairs_of(case):
            reachable.pop(pair, None)
    return cases


def _pairs_of(case: Sequence[Any]) -> Iterator[_Pair]:
    return combinations(enumerate(case), 2)


def _filled(
    dimensions: Sequence[Sequence[Any]],
    is_possible: Callable[[tuple[Any, ...]], bool],
    open_: dict[_Pair, None],
    chosen: dict[int, Any],
    *,
    number: int,
) -> tuple[Any, ...] | None:
    """Return a possible case with what is chosen already, best values first."""
    if len(chosen) == len(dimensions):
        case = tuple(chosen[place] for place in range(len(dimensions)))
        return case if is_possible(case) else None
    place = next(place for place in range(len(dimensions)) if place not in chosen)

    def gain(value: Any) -> tuple[int, int]:
        ends = (tuple(sorted([(place, value), known], key=lambda one: one[0])) for known in chosen.items())
        return sum(pair in open_ for pair in ends), crc32(repr((number, place, value)).encode())

    for value in sorted(dimensions[place], key=gain, reverse=True):
        case = _filled(dimensions, is_possible, open_, {**chosen, place: value}, number=number)
        if case is not None:
            return case
    return None
