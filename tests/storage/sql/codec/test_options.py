"""Options by which a saver or a runner encrypts and compresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from guardgraph.runs import Runner
from guardgraph.state import BadInput
from guardgraph.storage import SQLSaver


@pytest.mark.parametrize("opened", [Runner, SQLSaver.from_url])
def test_an_option_that_there_is_not_is_refused(tmp_path: Any, opened: Callable[..., Any]) -> None:
    with pytest.raises(BadInput, match="there is no option 'kee'; the nearest is 'key'"):
        opened(f"sqlite:///{tmp_path / 'r.db'}", kee=b"0" * 32)
