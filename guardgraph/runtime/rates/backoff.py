"""How long to wait before trying again."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from math import log

from guardgraph.state import BadGraph
from guardgraph.state.argument_checks import check_fields

__all__ = ("Backoff",)

_DAY = 86_400.0
_LARGEST = 1_000


@dataclass(frozen=True, slots=True)
class Backoff:
    """Wait before an attempt that follows a failure: `first` seconds, then `factor` times as long, at most `most`.

    `jitter` is the part of a wait that is random: 1 means anything from 0 to the whole of it ("full jitter",
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), 0 none. A server that asks by
    `Retry-After` for a longer wait gets it; one that asks for more than `most` is not waited for: that attempt was the
    last. A model call that meets an overload (status 429, 503 or 529, no connection, no answer in time) is also made
    again within its attempt, up to `calls` times.
    """

    first: float = 1.0
    factor: float = 2.0
    most: float = 60.0
    jitter: float = 1.0
    calls: int = 2

    def __post_init__(self) -> None:
        check_fields(self, at_least={"calls": 0})
        for name, fits, rule in (
            ("first", 0 < self.first <= _DAY, f"be above 0 and at most {_DAY:.0f} seconds"),
            ("factor", 1 <= self.factor <= _LARGEST, f"be from 1 to {_LARGEST}"),
            ("most", self.first <= self.most <= _DAY, f"be at least `first` and at most {_DAY:.0f} seconds"),
            ("jitter", 0 <= self.jitter <= 1, "be from 0 to 1"),
        ):
            if not fits:
                raise BadGraph(f"`{name}` must {rule}, got {getattr(self, name)!r}")

    def seconds(self, failures: int, *, key: str, retry_after: float | None = None) -> float | None:
        """Return how long to wait after so many failures in a row; `None` where the server asks for more than `most`.

        The random part depends on `key` alone, so that a replay waits as long.
        """
        if retry_after is not None and retry_after > self.most:
            return None
        is_longest = log(self.factor) * (failures - 1) >= log(self.most / self.first)
        longest = self.most if is_longest else self.first * self.factor ** (failures - 1)
        drawn = int.from_bytes(blake2b(f"{key} {failures}".encode("utf-8", "surrogatepass"), digest_size=7).digest())
        wait = longest * (1 - self.jitter * drawn / 2**56)
        return max(wait, retry_after or 0.0)
