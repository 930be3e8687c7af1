from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from guardgraph.research import BYTE_LIMIT, Skipped, read_documents
from guardgraph.state import BadInput
from tests.house.sources import ROOT
from tests.research.pdfs import pdf_of


def names(documents: object) -> list[str]:
    return [document.name for document in documents]  # type: ignore[attr-defined]


def test_reads_text_markdown_html_and_pdf_in_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# Title\n\nBody.\n")
    (tmp_path / "a.txt").write_text("Plain words.\n")
    (tmp_path / "d.html").write_text("<p>A <b>bold</b> word.</p>")
    (tmp_path / "c.pdf").write_bytes(pdf_of(["First line.", "Second line."]))

    found = read_documents([tmp_path], root=tmp_path)

    assert names(found.documents) == ["a.txt", "b.md", "c.pdf", "d.html"]
    assert found.documents[1].text.split("\n") == ["# Title", "", "Body.", ""]
    assert found.documents[2].text.split("\n") == ["First line.", "Second line."]
    assert found.documents[3].text == "A bold word."
    assert found.skipped == []


def test_reads_the_projects_own_pages() -> None:
    found = read_documents([ROOT / "docs", ROOT / "README.md"], root=ROOT)

    assert names(found.documents)[-1] == "README.md"
    assert "docs/README.md" in names(found.documents)
    assert all((ROOT / document.name).read_text("utf-8") == document.text for document in found.documents)


def test_names_are_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inside").mkdir()
    for path in (tmp_path / "inside" / "a.md", tmp_path / "b.md"):
        path.write_text("Words.")
    monkeypatch.chdir(tmp_path / "inside")

    found = read_documents(["./a.md", tmp_path / "b.md"])

    assert names(found.documents) == ["a.md", (tmp_path / "b.md").as_posix()]


def test_a_file_given_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Words.")
    (tmp_path / "same.md").symlink_to(tmp_path / "a.md")

    assert len(read_documents([tmp_path / "a.md", tmp_path, tmp_path]).documents) == 1


def test_hidden_entries_and_caches_are_passed_over(tmp_path: Path) -> None:
    for name in (".git", ".venv", "node_modules", "__pycache__", "kept"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.md").write_text("Words.")
    (tmp_path / ".hidden.md").write_text("Words.")

    found = read_documents([tmp_path], root=tmp_path)

    assert names(found.documents) == ["kept/a.md"]
    assert found.skipped == []


def test_what_cannot_be_read_inside_a_folder_is_skipped_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text("Words.")
    (tmp_path / "binary.txt").write_bytes(b"\x00\x01")
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    (tmp_path / "large.txt").write_text("x" * 101)
    (tmp_path / "empty.md").write_text(" \n")
    (tmp_path / "code.py").write_text("x = 1")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)

    found = read_documents([tmp_path], root=tmp_path, byte_limit=100)

    assert names(found.documents) == ["good.md"]
    reasons = dict(found.skipped)
    assert reasons.pop("broken.pdf").startswith("is no PDF that can be read: ")
    assert reasons == {
        "binary.txt": "is a binary file",
        "code.py": "is no document (a .py file)",
        "empty.md": "holds no text",
        "gone.md": "cannot be read: No such file or directory",
        "large.txt": "has 101 bytes, more than the limit of 100",
        "latin.txt": "is not UTF-8 text (byte 0, line 1)",
        "loop": "is a link to a folder, which is not followed",
    }


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("binary.md", b"a\x00b", "'.*binary.md' is a binary file; name text, Markdown, HTML or PDF files"),
        ("latin.md", b"a\n\xe9", r"is not UTF-8 text \(byte 2, line 2\); save it as UTF-8"),
        ("half.md", b"\xff\xfea", r"is not UTF-16 text .*; save it as UTF-8"),
        ("empty.md", b"", "holds no text; name a file with text in it"),
        ("script.html", b"<script>1</script>", "holds no text"),
        ("scan.pdf", pdf_of([]), "is a PDF without text"),
        ("broken.pdf", b"%PDF-1.7\n%%EOF", "is no PDF that can be read: .*; repair it or name another"),
    ],
)
def test_a_named_file_that_gives_no_text_is_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)

    with pytest.raises(BadInput, match=message):
        read_documents([tmp_path / name])


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^'[^']*nowhere.md' does not exist; check the path$"):
        read_documents([tmp_path / "nowhere.md"])


def test_where_a_missing_relative_path_was_looked_up_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(
        BadInput, match=r"^'nowhere.md' does not exist; check the path \(it is looked up from '[^']*'\)$"
    ):
        read_documents(["nowhere.md"])


def test_an_empty_path_is_not_the_working_directory() -> None:
    with pytest.raises(BadInput, match="a path is empty; name a file or folder"):
        read_documents([""])


def test_a_path_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(BadInput, match=r"cannot be opened|does not exist"):
        read_documents(["a\0b"])


def test_no_paths_at_all_are_refused() -> None:
    with pytest.raises(BadInput, match="no documents were given; name at least one file or folder"):
        read_documents([])


def test_a_single_text_is_no_list_of_paths() -> None:
    with pytest.raises(BadInput, match="must be a list of files and folders, got 'docs'"):
        read_documents("docs")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no document; put text, Markdown, HTML or PDF files into it"):
        read_documents([tmp_path])


def test_a_folder_without_any_document_names_its_content(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("x = 1")

    with pytest.raises(BadInput, match=r"holds no document that can be read \(.*code.py is no document"):
        read_documents([tmp_path])


def test_a_file_at_the_limit_is_read_and_one_above_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("12345678")

    assert read_documents([tmp_path / "a.md"], byte_limit=8).documents[0].text == "12345678"
    with pytest.raises(BadInput, match=r"has 8 bytes, more than the limit of 7; split it or name a smaller one"):
        read_documents([tmp_path / "a.md"], byte_limit=7)


def test_a_file_of_100_megabytes_is_refused_without_being_read(tmp_path: Path) -> None:
    with (tmp_path / "a.md").open("wb") as file:
        file.truncate(100_000_000)

    with pytest.raises(BadInput, match=rf"has 100,000,000 bytes, more than the limit of {BYTE_LIMIT:,}"):
        read_documents([tmp_path / "a.md"])


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")

    with pytest.raises(BadInput, match="is not a regular file"):
        read_documents([tmp_path / "pipe.md"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["closed", "closed.md"])
def test_what_may_not_be_read_is_refused(tmp_path: Path, name: str) -> None:
    closed = tmp_path / name
    closed.mkdir() if name == "closed" else closed.write_text("Words.")
    closed.chmod(0)
    try:
        with pytest.raises(BadInput, match=r"cannot be read: Permission denied"):
            read_documents([closed])
    finally:
        closed.chmod(0o700)


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.md").symlink_to(tmp_path / "a.md")

    with pytest.raises(BadInput, match=r"'.*a.md' cannot be (read|opened)"):
        read_documents([tmp_path / "a.md"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_inside_a_folder_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text("Words.")
    for name, mode in (("closed", 0), ("listed", 0o400)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.md").write_text("Words.")
        (tmp_path / name).chmod(mode)
    try:
        found = read_documents([tmp_path], root=tmp_path)
    finally:
        for name in ("closed", "listed"):
            (tmp_path / name).chmod(0o700)

    assert names(found.documents) == ["good.md"]
    assert found.skipped == [
        ("closed", "cannot be read: Permission denied"),
        ("listed/a.md", "cannot be read: Permission denied"),
    ]


def test_a_name_that_is_no_text_is_made_one(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.md")).write_text("Words.")

    (document,) = read_documents([tmp_path], root=tmp_path).documents

    assert document.name == "\ufffd.md"


@pytest.mark.parametrize("given", ["../docs", "../docs/a.md", "../docs/../docs/a.md"])
def test_a_path_outside_is_shown_without_the_way_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "dev").mkdir()
    (tmp_path / "docs" / "a.md").write_text("Words.")
    monkeypatch.chdir(tmp_path / "dev")

    [relative] = read_documents([given]).documents
    [absolute] = read_documents([tmp_path / "dev" / given]).documents

    assert relative.name == "../docs/a.md"
    assert absolute.name == str(tmp_path / "docs" / "a.md")
    with pytest.raises(BadInput, match=re.escape(f"'{tmp_path}/nowhere' does not exist")):
        read_documents([tmp_path / "dev" / "../nowhere"])


def test_a_path_through_a_link_to_a_folder_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "far" / "a.md").write_text("Words.")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "deep")

    [document] = read_documents([tmp_path / "link" / ".." / "a.md"]).documents

    assert document.name == f"{tmp_path}/link/../a.md"
    assert document.text == "Words."


def test_documents_that_were_read_in_part_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf_of(["One."], ["Two."]).replace(b"/Contents 7 0 R", b"/Contents 77 0 R"))
    (tmp_path / "b.pdf").write_bytes(pdf_of(["One."]))

    found = read_documents([tmp_path], root=tmp_path)

    assert [document.text.strip() for document in found.documents] == ["One.", "One."]
    assert found.read_in_part == [
        Skipped("a.pdf", "was read in part: page 2 could not be read: Object 77 0 not defined.")
    ]
    assert found.skipped == []
