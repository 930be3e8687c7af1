"""Encrypted values: readable with their key, in their place, and in no other way."""

from __future__ import annotations

import sys
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.state import BadInput, MissingExtra, StorageCorrupt, WrongKey
from guardgraph.storage.sql.codec.cipher import AESGCMCipher
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.codec.options import codec_of

KEY, OTHER = b"k" * 32, b"o" * 32


class Backwards:
    """A cipher of the user's own, of the shape that LangGraph asks for."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "backwards", plaintext[::-1]

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        assert ciphername == "backwards"
        return ciphertext[::-1]


@pytest.mark.parametrize("key", [KEY, b"k" * 16, b"k" * 24, b64encode(KEY).decode(), Backwards()])
def test_a_value_is_read_with_the_key_that_it_was_written_with(key: Any) -> None:
    codec = codec_of((), key=key, compress_above=100)
    value = {"secret": "plan", "many": "x" * 10_000, "pair": (1, 2)}

    data = codec.dumps(value)

    assert codec.loads(data) == value
    assert codec.loads_typed(codec.dumps_typed(value)) == value
    assert b"secret" not in data
    assert len(data) < 1000


def test_two_values_of_one_text_do_not_look_alike() -> None:
    codec = codec_of((), key=KEY)

    assert codec.dumps("text") != codec.dumps("text")
    assert codec.dumps_plain("text") == codec.dumps_plain("text") == Codec().dumps("text")


@given(st.data())
def test_a_changed_byte_is_a_typed_error(data: st.DataObject) -> None:
    codec = codec_of((), key=KEY)
    sealed = bytearray(codec.dumps(["text", 1]))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))

    with pytest.raises((StorageCorrupt, WrongKey), match="stored data"):
        codec.loads(bytes(sealed))


def test_another_key_no_key_and_a_key_for_plain_data_are_told_apart() -> None:
    sealed, plain = codec_of((), key=KEY).dumps(1), Codec().dumps(1)

    with pytest.raises(WrongKey, match="cannot be decrypted with this key"):
        codec_of((), key=OTHER).loads(sealed)
    with pytest.raises(WrongKey, match="cannot be decrypted with this key"):
        codec_of((), key=Backwards()).loads(sealed)
    with pytest.raises(WrongKey, match="is encrypted; pass the key"):
        Codec().loads(sealed)
    with pytest.raises(WrongKey, match="is not encrypted, but there is a key"):
        codec_of((), key=KEY).loads(plain)
    assert codec_of((), key=KEY, allow_plain=True).loads(plain) == 1


def test_a_value_is_read_in_its_own_place_only() -> None:
    codec = codec_of((), key=KEY)
    data = codec.dumps("text", context=b"thread 1")

    assert codec.loads(data, context=b"thread 1") == "text"
    for context in (b"", b"thread 2"):
        with pytest.raises(StorageCorrupt, match="encrypted for another place"):
            codec.loads(data, context=context)


def test_any_bytes_can_be_sealed() -> None:
    codec = codec_of((), key=KEY)

    assert codec.unseal(codec.seal(b'{"a": 1}', b"here"), b"here") == b'{"a": 1}'
    assert Codec().seal(b"{}") == Codec().unseal(b"{}") == b"{}"


@pytest.mark.parametrize("key", [b"", b"short", b"k" * 33, "", "not base64!", b64encode(b"short").decode()])
def test_what_is_no_key_is_refused_and_not_repeated(key: bytes | str) -> None:
    with pytest.raises(BadInput, match="a key has 16, 24 or 32 bytes") as caught:
        codec_of((), key=key)

    assert not key or str(key) not in str(caught.value)


def test_the_key_is_in_no_text_of_the_codec() -> None:
    codec = codec_of((), key=KEY)

    assert "kkkk" not in f"{codec!r} {codec.cipher!r} {codec.with_types()!r}"


def test_without_the_extra_a_key_is_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)

    with pytest.raises(MissingExtra, match=r"needs 'cryptography'; .*guardgraph\[encryption\]"):
        AESGCMCipher(KEY)
