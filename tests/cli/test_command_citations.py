"""A reader of the report opens each cited file with a tool of his own, and finds the quote at the cited line."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pypdf import PdfReader

from guardgraph.cli.entry import main
from tests.loopback import OpenAIServer, Response, text
from tests.research.pdfs import pdf_of

QUESTION = "When are brake pads, brake discs, brake fluid, brake drums and brake cables replaced?"
LONG = "Brake cables are replaced when a strand is broken, which happens " + "all too often and " * 6 + "in the rain."
"""Longer than what the list of sources shows of a quote."""
FILES = {
    "notes.txt": b"Workshop notes.\n\nReplace brake pads when less than\n1.5 millimetres is left.\n",
    "from windows.txt": f"Cables\r\n\r\n{LONG}\r\n".encode(),
    "discs.md": "# Gr\u00f6\u00dfe\n\n- Brake discs are **replaced** below 1.8 millimetres,\n".encode()
    + b"  at the `thinnest` place.\n",
    "fluid.html": b"<html><head><style>\np{}</style></head>\n<body><script>\nvar brake;\n</script>\n"
    b"<p>Brake fluid is replaced every two years,\nbecause it draws <b>water</b> &amp; boils.</p></body></html>\n",
    "drums.pdf": pdf_of(
        ["On brakes in general."], ["Brake drums are replaced when they are", "worn by more than a millimetre."]
    ),
}
QUOTES = {
    "notes.txt": "Replace brake pads when less than 1.5 millimetres is left.",
    "from windows.txt": LONG,
    "discs.md": "Brake discs are **replaced** below 1.8 millimetres,\n  at the `thinnest` place.",
    "fluid.html": "Brake fluid is replaced every two years,\nbecause it draws water & boils.",
    "drums.pdf": "Brake drums are replaced when they are\nworn by more than a millimetre.",
}
"""What a model quotes; it does not care for the ends of lines."""


class Cited(NamedTuple):
    """One line of the sources of a report."""

    number: int
    source: str
    line: int
    last_line: int
    quote: str


@pytest.fixture(params=["inside", "outside"])
def papers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A folder with a document of each kind, inside the working directory or outside of it."""
    here = tmp_path / "here"
    folder = here / "papers" if request.param == "inside" else tmp_path / "papers"
    folder.mkdir(parents=True)
    here.mkdir(exist_ok=True)
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    monkeypatch.chdir(here)
    monkeypatch.delenv("GUARDGRAPH_DB", raising=False)
    return "papers" if request.param == "inside" else str(folder)


def opened(source: str) -> list[str]:
    """Return the lines of a file as a reader sees them: a page without its tags, a PDF as the text in it."""
    path = Path(source)
    if path.suffix == ".pdf":
        return "\n".join(page.extract_text() for page in PdfReader(path).pages).split("\n")
    lines = path.read_text("utf-8").split("\n")
    return [html.unescape(re.sub("<[^>]*>", "", line)) for line in lines] if path.suffix == ".html" else lines


def plain(words: str) -> str:
    return " ".join(words.split())


def cited_in(report: str) -> list[Cited]:
    """Return the sources that the text of a report lists."""
    listed = report.partition("\n## Sources\n")[2].strip().splitlines()
    found = [re.fullmatch(r'\[(\d+)\] (.+):(\d+)(?:-(\d+))? "(.*)" *', line) for line in listed if line]
    assert found
    assert all(found)
    return [Cited(int(hit[1]), hit[2], int(hit[3]), int(hit[4] or hit[3]), hit[5]) for hit in found if hit]


def researched(capsys: pytest.CaptureFixture[str], papers: str, *options: str) -> tuple[str, Any]:
    """Return the report as it is printed, and the value that `--json` tells."""
    assert main(["research", QUESTION, papers, *options]) == 0
    report = capsys.readouterr().out
    assert main(["research", QUESTION, papers, *options, "--json"]) == 0
    return report, json.loads(capsys.readouterr().out)["outcome"]["value"]


def check(report: str, value: Any, *, is_copy: Callable[[str, str], bool]) -> None:
    """Check that printed and told citations agree, are used in the text, and open at their lines."""
    cited = [Cited(**citation) for citation in value["citations"]]
    listed = cited_in(report)
    assert report.strip() == value["report"].strip()
    assert [one[:4] for one in listed] == [one[:4] for one in cited]
    body = report.partition("\n## Sources\n")[0]
    assert {int(mark) for mark in re.findall(r"\[(\d+)\]", body)} == {one.number for one in cited}
    assert {Path(one.source).name for one in cited} == set(FILES)
    for shown, one in zip(listed, cited, strict=True):
        lines = opened(one.source)
        assert is_copy(one.quote, "\n".join(lines[one.line - 1 : one.last_line]))
        assert plain(lines[one.last_line - 1]).endswith(plain(one.quote)[-10:]), f"{one} does not end in its last line"
        begins = plain(lines[one.line - 1]).find(plain(one.quote)[:30])
        assert begins >= 0, f"{one} does not begin in its line"
        assert plain(one.quote).startswith(shown.quote.removesuffix("…"))
        assert shown.quote.endswith("…") == (len(plain(one.quote)) > len(shown.quote))


def test_every_citation_of_the_extracted_report_opens_at_its_line(
    capsys: pytest.CaptureFixture[str], papers: str
) -> None:
    report, value = researched(capsys, papers)

    check(report, value, is_copy=lambda quote, rest: quote in rest)


def test_every_citation_of_a_report_that_a_model_wrote_opens_at_its_line(
    capsys: pytest.CaptureFixture[str], papers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(body: dict[str, Any]) -> Response:
        system, given = str(body["messages"][0]["content"]), str(body["messages"][-1]["content"])
        if "You plan" in system:
            subtasks = [] if "Accepted results" in given else [{"id": "a", "goal": QUESTION}]
            return text(json.dumps({"subtasks": subtasks, "reasoning": ""}))
        if "You extract" in system:
            claims = [
                {"text": f"On {name}.", "source": f"{papers}/{name}", "quote": quote} for name, quote in QUOTES.items()
            ]
            return text(json.dumps({"claims": claims}))
        return text("All parts are replaced [5][3]. Some sooner [1][2][4].")

    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    with OpenAIServer(answer) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        report, value = researched(capsys, papers, "--model", "openai:gpt-4o-mini")

    assert "All parts are replaced [1][2]. Some sooner [3][4][5]." in report
    check(report, value, is_copy=lambda quote, rest: plain(quote) in plain(rest))
