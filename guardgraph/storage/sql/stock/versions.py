"""The channel versions of LangGraph's own savers as numbers of `SQLSaver`, in the same order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from guardgraph.storage.sql.checkpoints.saver import FORK_BITS

__all__ = ("version_number", "with_numbers")

_COUNTED = re.compile(r"(\d{1,40})(?:\.(.*))?", re.DOTALL | re.ASCII)


def version_number(version: object) -> int:
    """Return a version as `SQLSaver.get_next_version` makes them: a counter, and bits that distinguish branches.

    LangGraph's savers write texts, such as `00000000000000000000000000000003.0.5712`: a counter and a random fraction.
    Of two versions the larger one becomes the larger number, or an equal one in one of 10**12 cases.

    >>> version_number("00000000000000000000000000000003.0.5") == (3 << 40) + (1 << 39)
    True
    >>> version_number(7)
    7

    Raises:
        ValueError: it is none that a saver of LangGraph's writes.
    """
    if isinstance(version, int) and not isinstance(version, bool):
        return version
    if isinstance(version, float) and 0 <= version < 2**53:
        return int(version * (1 << FORK_BITS))
    found = _COUNTED.fullmatch(version) if isinstance(version, str) else None
    if found is None:
        raise ValueError(f"{version!r:.80} is no version of a channel")
    return (int(found[1]) << FORK_BITS) | _fraction(found[2] or "")


def with_numbers(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint with numbers as the versions of its channels, and of what each node has seen.

    Raises:
        ValueError: a version in it is none.
    """
    versions = {channel: version_number(version) for channel, version in checkpoint["channel_versions"].items()}
    seen = {
        node: {channel: version_number(version) for channel, version in channels.items()}
        for node, channels in checkpoint["versions_seen"].items()
    }
    return {**checkpoint, "channel_versions": versions, "versions_seen": seen}


def _fraction(text: str) -> int:
    """Return the bits of what follows the counter; early savers wrote a digest there."""
    try:
        fraction = float(text or 0)
    except ValueError:
        fraction = -1.0
    if 0 <= fraction < 1:
        return int(fraction * (1 << FORK_BITS))
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=FORK_BITS // 8).digest(), "big")
