"""The way into the command, also as `python -m guardgraph`: Ctrl-C while it is imported is one line, exit code 130."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, Never

__all__ = ()


def _end(_number: int, _frame: Any) -> Never:
    os.write(2, b"guardgraph: stopped by Ctrl-C\n")
    os._exit(130)


_before = signal.signal(signal.SIGINT, _end)  # an exception would be raised within whatever is being imported
from guardgraph.cli.entry import main  # noqa: E402

signal.signal(signal.SIGINT, _before)

if __name__ == "__main__":
    sys.exit(main())
