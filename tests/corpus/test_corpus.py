"""What a release has stored, every later one resumes; and what is stored does not change without a migration."""

from __future__ import annotations

import json
import lzma
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.make import FOLDER, THREADS, Thread, format_of_today, resumed

RELEASES = sorted(path.parent.name for path in FOLDER.glob("*/threads.json"))
CASES = [pytest.param(release, one, id=f"{release} {one.name}") for release in RELEASES for one in THREADS]
MAKE = "if that is meant, add a migration, and make the corpus of the coming release: python -m tests.corpus.make"


@cache
def facts(release: str) -> dict[str, Any]:
    return json.loads((FOLDER / release / "threads.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the databases of every release."""
    folder = tmp_path_factory.mktemp("corpus")
    for packed in FOLDER.glob("*/*.db.xz"):
        (folder / packed.parent.name).mkdir(exist_ok=True)
        (folder / packed.parent.name / packed.stem).write_bytes(lzma.decompress(packed.read_bytes()))
    return folder


@pytest.mark.parametrize(("release", "thread"), CASES)
def test_a_thread_of_a_release_is_what_it_was_and_goes_on(
    release: str, thread: Thread, unpacked: Path, tmp_path: Path
) -> None:
    stored = facts(release)["threads"].get(thread.name)
    if stored is None:
        pytest.skip("a later release has added it")
    shutil.copytree(unpacked / release, tmp_path, dirs_exist_ok=True)

    found = resumed(tmp_path, thread)

    assert json.loads(json.dumps(found)) == stored


def test_what_is_stored_has_not_changed_since_the_newest_corpus() -> None:
    newest, today = facts(RELEASES[-1])["format"], format_of_today()

    assert {key: today[key] for key in today if today[key] != newest[key]} == {}, MAKE


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if "__pycache__" not in path.parts) < 300_000
