"""What is around stored values: a checksum, and compression on request."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_digest

from guardgraph.state import StorageCorrupt
from guardgraph.storage.sql.codec import envelope
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.codec.envelope import INFLATED, compressed, opened, packed

COMPRESSED = 2


def enveloped(kind: int, payload: bytes) -> bytes:
    return bytes([kind]) + xxh3_64_digest(payload, kind) + payload


def claiming(size: int, payload: bytes) -> bytes:
    """Return an envelope of compressed data that claims a size."""
    return enveloped(COMPRESSED, size.to_bytes(8, "big") + zlib.compress(payload))


@pytest.mark.parametrize(("length", "smaller"), [(1_000, False), (1_001, True), (50_000, True)])
def test_values_above_a_size_are_compressed(length: int, smaller: bool) -> None:
    codec = Codec(compress_above=1_003)
    value = "x" * length  # and three bytes of a head

    data = codec.dumps(value)

    assert (len(data) < 500) is smaller
    assert codec.loads(data) == Codec().loads(data) == value


def test_what_does_not_get_smaller_is_stored_as_it_is() -> None:
    noise = random.Random(1).randbytes(10_000)

    assert len(Codec(compress_above=0).dumps(noise)) == len(Codec().dumps(noise))


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_any_value_comes_back(value: Any) -> None:
    codec = Codec(compress_above=0)

    assert codec.loads(codec.dumps(value)) == value


@pytest.mark.parametrize("place", [0, 1, 5, 9, 12, -1])
def test_a_changed_byte_is_found_before_it_is_decompressed(place: int) -> None:
    data = bytearray(Codec(compress_above=0).dumps("x" * 1000))
    data[place] ^= 1

    with pytest.raises(StorageCorrupt, match="stored data"):
        Codec().loads(bytes(data))


@pytest.mark.parametrize("claimed", [0, 99_999, 100_001, INFLATED, 2**40, 2**64 - 1])
def test_a_payload_that_is_not_as_long_as_it_claims_is_refused(claimed: int) -> None:
    with pytest.raises(StorageCorrupt, match="not as long as it claims"):
        opened(claiming(claimed, b"x" * 100_000))


def test_a_bomb_takes_no_more_memory_than_it_claims() -> None:
    bomb = claiming(1_000, b"\0" * 50_000_000)
    tracemalloc.start()

    with pytest.raises(StorageCorrupt, match="not as long as it claims"):
        opened(bomb)

    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_what_is_no_compressed_data_is_a_typed_error() -> None:
    with pytest.raises(StorageCorrupt, match="cannot be decompressed"):
        opened(enveloped(COMPRESSED, (9).to_bytes(8, "big") + b"not zlib"))


def test_what_would_be_too_large_to_read_is_not_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "INFLATED", 1000)

    assert compressed(b"x" * 1001) == packed(b"x" * 1001)
    assert opened(compressed(b"x" * 1000)) == b"x" * 1000
