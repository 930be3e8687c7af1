"""The type check is awake: errors put in on purpose are found under the project's own settings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.sources import ROOT, settings

CANARIES = {
    "reportArgumentType": "def double(number: int) -> int:\n    return number * 2\n\n\ndouble('two')\n",
    "reportReturnType": "def name() -> str:\n    return 1\n",
    "reportMissingParameterType": "def shout(text) -> None:\n    print(text)\n",
    "reportMissingTypeArgument": "def first(items: list) -> None:\n    print(items)\n",
    "reportOptionalMemberAccess": "def length(text: str | None) -> str:\n    return text.upper()\n",
    "reportPrivateUsage": "import sys\n\nprint(sys._getframe())\n",
    "reportUnusedImport": "import json\n",
}
"""A deliberate error for each rule that must be awake."""


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return, for each canary, the rules that the type checker found broken."""
    folder = tmp_path_factory.mktemp("canaries")
    for rule, source in CANARIES.items():
        (folder / f"{rule}.py").write_text(source)
    chosen = {**settings()["tool"]["pyright"], "include": ["."]}
    chosen = {name: value for name, value in chosen.items() if name not in {"venv", "venvPath"}}
    (folder / "pyrightconfig.json").write_text(json.dumps(chosen))
    command = [
        sys.executable,
        "-m",
        "pyright",
        "--project",
        str(folder),
        "--pythonpath",
        sys.executable,
        "--outputjson",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, set[str]] = {}
    for one in json.loads(done.stdout)["generalDiagnostics"]:
        if one["severity"] == "error":
            found.setdefault(Path(one["file"]).stem, set()).add(one.get("rule", ""))
    return found


@pytest.mark.parametrize("rule", CANARIES)
def test_a_deliberate_type_error_is_caught(rule: str, reported: dict[str, set[str]]) -> None:
    assert rule in reported.get(rule, set())


def test_types_are_strict_and_relaxed_only_where_third_parties_force_it() -> None:
    chosen = settings()["tool"]["pyright"]

    relaxed = {name for name, value in chosen.items() if value is False}

    assert chosen["typeCheckingMode"] == "strict"
    assert {name for name in relaxed if not name.startswith("reportUnknown")} == {"reportMissingTypeStubs"}


def test_everything_we_write_is_checked_and_named_one_by_one() -> None:
    assert settings()["tool"]["pyright"]["include"] == ["guardgraph", "tests", "examples", "bench"]
    assert not (ROOT / "pyrightconfig.json").exists()
