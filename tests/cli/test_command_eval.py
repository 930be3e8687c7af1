from __future__ import annotations

import json
from pathlib import Path

import pytest

from guardgraph.cli.entry import main

SUITE = "cases: [{id: pads, task: 'When are brake pads replaced?', expected_facts: ['%s']}]\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a document and two suites of one name: one that passes, one that fails."""
    (tmp_path / "pads.md").write_text("# Pads\n\nReplace brake pads when less than 1.5 millimetres is left.\n")
    (tmp_path / "good.yaml").write_text("name: pads\n" + SUITE % "1.5 millimetres")
    (tmp_path / "bad.yaml").write_text("name: pads\n" + SUITE % "9 millimetres")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARDGRAPH_DB", raising=False)
    return tmp_path


def test_the_suite_of_the_research_graph_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "run", "--name", "first"]) == 0

    out, err = capsys.readouterr()
    assert "facts_found      8 of 8" in out
    assert "citations_valid  8 of 8" in out
    assert "[8 of 8]" in err
    assert main(["eval", "show"]) == 0
    assert capsys.readouterr().out == "first\n"
    assert main(["eval", "show", "first"]) == 0
    assert capsys.readouterr().out == out


def test_only_the_cases_with_a_tag_are_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "run", "--tag", "smoke", "--json"]) == 0

    report = json.loads(capsys.readouterr().out)
    assert report["cases"] == ["pads", "fluids", "wrenches"]
    assert report["regressions"] == []


def test_what_got_worse_has_its_own_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "run", "good.yaml", "--documents", "pads.md", "--name", "before"]) == 0
    assert main(["eval", "run", "bad.yaml", "--documents", "pads.md", "--baseline", "before"]) == 5
    assert "worse: pads: facts_found passed before" in capsys.readouterr().out


def test_what_failed_before_and_fails_still_is_no_regression(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "run", "bad.yaml", "--documents", "pads.md", "--name", "before"]) == 5
    assert main(["eval", "run", "bad.yaml", "--documents", "pads.md", "--baseline", "before"]) == 0


def test_runs_of_all_suites_are_listed_or_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "show"]) == 0
    assert capsys.readouterr().out == "no eval run is stored here\n"
    main(["eval", "run", "good.yaml", "--documents", "pads.md", "--name", "one"])
    main(["eval", "run", "--tag", "smoke", "--name", "two"])
    capsys.readouterr()

    assert main(["eval", "show"]) == 0
    assert main(["eval", "show", "--suite", "pads"]) == 0
    assert main(["eval", "show", "--suite", "other"]) == 0
    assert capsys.readouterr().out == "two\none\none\nno run of suite 'other' is stored here\n"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["run", "good.yaml"], "name what is scored"),
        (["run", "nowhere.yaml", "--documents", "pads.md"], "nowhere.yaml: cannot be read"),
        (["run", "--baseline", "nobody"], "no eval run is called 'nobody'"),
        (["show", "nobody"], "no eval run is called 'nobody'"),
        (["run", "--tag", "none"], "has no case tagged 'none'"),
    ],
)
def test_bad_input_is_named(capsys: pytest.CaptureFixture[str], arguments: list[str], why: str) -> None:
    assert main(["eval", *arguments]) == 2
    assert why in capsys.readouterr().err
