"""NumPy arrays in stored data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from guardgraph.state import Unserializable
from guardgraph.storage.sql.codec.arrays import array_of
from guardgraph.storage.sql.codec.codec import Codec


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(10)[::2],
        np.zeros((0, 3)),
        np.array(5),
        np.array(["a", "bcé"]),
        np.array([b"a", b"bc"]),
        np.array([True, False]),
        np.array([1 + 2j]),
        np.array(["2020-01-01"], dtype="M8[s]"),
        np.array([1, 2], dtype=">i2"),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_an_array_comes_back_as_it_was(array: Any) -> None:
    found = Codec().loads(Codec().dumps({"array": array}))["array"]

    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert (found == array).all()
    assert found.flags.writeable


def test_an_array_keeps_its_order_in_memory() -> None:
    found = Codec().loads(Codec().dumps(np.asfortranarray(np.zeros((2, 3)))))

    assert found.flags.f_contiguous


@pytest.mark.parametrize("scalar", [np.float64(1.5), np.int8(3), np.bool_(True), np.datetime64("2020-01-01")])
def test_a_scalar_comes_back_with_its_type(scalar: Any) -> None:
    found = Codec().loads(Codec().dumps(scalar))

    assert found == scalar
    assert type(found) is type(scalar)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.array([object()]), "its dtype object is not stored"),
        (np.zeros(2, dtype=[("a", "i4")]), "is not stored"),
        (np.ma.array([1]), "MaskedArray is not a type that is stored"),
    ],
)
def test_what_bytes_do_not_describe_is_refused(array: Any, reason: str) -> None:
    with pytest.raises(Unserializable, match=reason):
        Codec().dumps(array)


@pytest.mark.parametrize(
    "parts", [["|O", [1], "C", b"12345678", False], ["i4,f8", [1], "C", b"", False], ["<i4", [1], "K", b"1234", False]]
)
def test_a_stored_array_cannot_name_another_dtype(parts: list[Any]) -> None:
    with pytest.raises(ValueError, match="is no array that is stored"):
        array_of(parts)
