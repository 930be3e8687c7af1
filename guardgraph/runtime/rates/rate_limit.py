"""The declaration of a rate limit."""

from __future__ import annotations

from dataclasses import dataclass

from guardgraph.state import BadGraph
from guardgraph.state.argument_checks import check_fields

__all__ = ("RateLimit",)

_LONGEST = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `calls` model calls, and `tokens`, in any `per` seconds; who would exceed that waits for its turn.

    No window of `per` seconds ever holds more, wherever it begins. `tokens` are those of input and output: before a
    call they are estimated, and corrected by what it reports; a call that is larger than the limit waits until nothing
    else is in the window.
    """

    calls: int | None = None
    tokens: int | None = None
    per: float = 60.0

    def __post_init__(self) -> None:
        check_fields(self, at_least={"calls": 1, "tokens": 1})
        if self.calls is None and self.tokens is None:
            raise BadGraph("a RateLimit limits something: give `calls` or `tokens`")
        if not 0 < self.per <= _LONGEST:
            raise BadGraph(f"`per` must be above 0 and at most {_LONGEST:.0f} seconds, got {self.per!r}")

    def __str__(self) -> str:
        """Describe it in a few words."""
        parts = [f"{count} {what}" for count, what in ((self.calls, "calls"), (self.tokens, "tokens")) if count]
        return f"{' and '.join(parts)} per {self.per:g} s"
