"""Pages tell the truth: their Python runs and their links lead somewhere.

The rule: every block whose fence says exactly `python` is executed, and no fence may begin with `py` otherwise. The
blocks of one page run in order, in one namespace, in an empty folder that has links to the project's `docs` and
`README.md`. A block that shows an error catches it.
"""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

from tests.house.pages import Block, blocks_of, links_of, pages
from tests.house.sources import ROOT

PAGES = pages()


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def run(blocks: list[Block], page: str) -> None:
    """Run the Python blocks of a page one after another, as one module."""
    module = types.ModuleType("__page__")
    sys.modules[module.__name__] = module
    try:
        for block in blocks:
            source = "\n" * (block.line - 1) + block.source
            exec(compile(source, page, "exec", dont_inherit=True), module.__dict__)
    finally:
        del sys.modules[module.__name__]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")], ids=name_of
)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    (tmp_path / "README.md").symlink_to(ROOT / "README.md")
    monkeypatch.chdir(tmp_path)

    run([block for block in blocks_of(page.read_text(encoding="utf-8")) if block.info == "python"], str(page))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_python_of_a_page_is_kept_from_running(page: Path) -> None:
    infos = [block.info for block in blocks_of(page.read_text(encoding="utf-8"))]

    assert not [info for info in infos if info.lower().startswith("py") and info != "python"]
    assert all(infos), "every fence names its language"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_to_a_file_of_the_project(page: Path) -> None:
    broken = [link for link in links_of(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]

    assert not broken


def test_there_are_pages_to_check() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/README.md"} <= {name_of(page) for page in PAGES}


def test_the_requirements_are_counted_as_they_are_told() -> None:
    page = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| R\d+ \|[^|]*\| (?:\*\*)?(met|partly|not yet)", page, re.MULTILINE)
    met, partly, not_yet = (told.count(status) for status in ("met", "partly", "not yet"))

    assert f"\n{met} are met, {partly} partly, {not_yet} not yet.\n" in page
    assert len(told) == 104


def test_blocks_share_one_namespace_and_keep_their_line() -> None:
    text = "# Page\n\n```python\nx = 1\n```\n\n- item\n\n  ```python\n  assert x == 2\n  ```\n"

    blocks = blocks_of(text)

    assert [(block.info, block.line) for block in blocks] == [("python", 4), ("python", 10)]
    with pytest.raises(AssertionError, match=r"^$") as caught:
        run(blocks, "page.md")
    assert caught.traceback[-1].lineno == 9


def test_a_block_may_define_models_whose_annotations_are_looked_up_later() -> None:
    source = "from __future__ import annotations\nfrom pydantic import BaseModel\n"
    source += "class A(BaseModel):\n    b: B\nclass B(BaseModel): ...\n"
    source += "assert A.model_validate({'b': {}}).b == B()\n"

    run([Block("python", source, 1)], "page.md")


def test_links_are_found_but_not_those_in_code_or_to_other_sites() -> None:
    text = "[a](b.md#c) ![d](e%20f.png) [g](https://example.org) [h](#i) `[j](k)`\n"
    text += '<img src="l.svg">\n```text\n[m](n)\n```\n'

    assert links_of(text) == ["b.md", "e f.png", "l.svg"]
