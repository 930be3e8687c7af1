"""The project's Markdown pages, taken apart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from tests.house.sources import ROOT

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<info>[^`\n]*)\n(?P<body>.*?)^(?P=indent)(?P=fence) *$",
    re.DOTALL | re.MULTILINE,
)
_LINK = re.compile(
    r"!?\[[^\]]*\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)|<(?:img|a)\s[^>]*?(?:src|href)=\"(?P<html>[^\"]+)\""
)
_ELSEWHERE = re.compile(r"[a-z][a-z+.-]*:", re.IGNORECASE)


class Block(NamedTuple):
    """One fenced block of a page."""

    info: str
    """What stands behind the fence: the language and what else."""
    source: str
    line: int
    """The line of the page on which the source begins."""


def pages() -> list[Path]:
    """Return the project's pages: those at the root and all of docs."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def blocks_of(text: str) -> list[Block]:
    """Return the fenced blocks of a page, without their indentation."""
    found: list[Block] = []
    for hit in _FENCE.finditer(text):
        indent = len(hit["indent"])
        source = "".join(line[indent:] if line.strip() else "\n" for line in hit["body"].splitlines(keepends=True))
        found.append(Block(hit["info"].strip(), source, text.count("\n", 0, hit.start("body")) + 1))
    return found


def links_of(text: str) -> list[str]:
    """Return the relative links and pictures of a page, outside its code, without their anchors."""
    prose = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))
    targets = [hit["target"] or hit["html"] for hit in _LINK.finditer(prose)]
    return [unquote(path) for target in targets if not _ELSEWHERE.match(target) and (path := target.partition("#")[0])]
