"""What git keeps speaks of the project alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.sources import ROOT, tracked_files

FORBIDDEN = {
    "a path of somebody's machine": re.compile(r"(?<![\w.:/])/(?:work|root|home/\w+|Users/\w+)/"),
    "a host of a package registry": re.compile(
        r"//[\w.@:-]*(?:artifactory|nexus|npmjs|pypi|pythonhosted|registry|goproxy|crates\.io|proxy\.golang)[\w.:-]*",
        re.I,
    ),
    "an unresolved merge": re.compile(r"^(?:<{7} |>{7} )", re.MULTILINE),
    "a key": re.compile(
        r"\b(?:sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|gh[pousr]_\w{30,})|-----BEGIN [A-Z ]*PRIVATE KEY"
    ),
}


def found_in(text: str) -> list[str]:
    """Name the kinds of forbidden words in `text`, each with its first appearance."""
    return [f"{kind}: {hit.group()!r}" for kind, pattern in FORBIDDEN.items() if (hit := pattern.search(text))]


def test_no_kept_file_names_a_machine_or_holds_a_secret() -> None:
    files = [path for path in tracked_files() if path != Path(__file__)]
    if not files:
        pytest.skip("not in a git repository")

    complaints = {
        str(path.relative_to(ROOT)): found
        for path in files
        if (found := found_in(path.read_bytes().decode("utf-8", errors="replace")))
    }

    assert not complaints
    assert len(files) >= 20


@pytest.mark.parametrize(
    "text",
    [
        "open('/work/data.txt')",
        "cd /root/project",
        "/home/someone/runs.db",
        "/Users/someone/runs.db",
        "index-url = https://pypi.example.org/simple",
        "https://user:secret@artifactory.example.org/api",
        "http://registry.npmjs.org:8080/",
        "<<<<<<< HEAD",
        "sk-" + "a" * 24,
        "-----BEGIN RSA PRIVATE KEY",
    ],
)
def test_what_must_not_be_kept_is_found(text: str) -> None:
    assert len(found_in(text)) == 1


@pytest.mark.parametrize(
    "text",
    ["https://example.org/work/1", "https://example.org/registry", "docs/root/page.md", "a task-list", "/tmp/runs.db"],
)
def test_ordinary_text_passes(text: str) -> None:
    assert not found_in(text)
