"""YAML files: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardgraph.evals.suite import MAX_BYTES, read_mapping
from guardgraph.state import BadInput


def written(folder: Path, text: str) -> Path:
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_mapping_is_read(tmp_path: Path) -> None:
    text = "a: &x {b: [1, ü]}\nc: *x\nd: {b: 2}"

    assert read_mapping(written(tmp_path, text)) == {"a": {"b": [1, "ü"]}, "c": {"b": [1, "ü"]}, "d": {"b": 2}}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cases: [", r"is not YAML: line 1, column 9: expected the node content"),
        ("cases:\n- id: a\n  task: b\n  id: c", r"is not YAML: line 4, column 3: duplicate key 'id'"),
        ("cases: !!python/object:os.system [x]", r"is not YAML: line 1, column 8: could not determine a constructor"),
        ("cases: 2026-99-99", r"is not YAML: month must be in 1\.\.12"),
        ("[" * 1500, r"is not YAML: "),
        ("a: \x07", r"is not YAML: unacceptable character"),
        ("- a", r"must hold `cases`, a list of questions; it holds a list"),
        ("", r"must hold `cases`, a list of questions; it holds nothing"),
    ],
)
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=rf"suite\.yaml: {complaint}"):
        read_mapping(written(tmp_path, text))


def test_an_anchor_within_itself_is_no_endless_loop(tmp_path: Path) -> None:
    assert set(read_mapping(written(tmp_path, "a: &x [*x]"))) == {"a"}


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"name: \xff")

    with pytest.raises(BadInput, match=r"missing\.yaml: cannot be read \(No such file or directory\)"):
        read_mapping(tmp_path / "missing.yaml")
    with pytest.raises(BadInput, match=r"binary\.yaml: is not UTF-8 text \(byte 6\)"):
        read_mapping(tmp_path / "binary.yaml")
    with pytest.raises(BadInput, match=r"cannot be read \(Is a directory\)"):
        read_mapping(tmp_path)


def test_a_file_of_more_than_16_megabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)

    with pytest.raises(BadInput, match="a suite has at most 16777216 bytes, this file 16777217"):
        read_mapping(path)
