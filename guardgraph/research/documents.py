"""Documents from files and folders, with a clear word on everything that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from guardgraph.research.contents import Unreadable, text_of_bytes
from guardgraph.state import BadInput

__all__ = ("BYTE_LIMIT", "Document", "Documents", "Skipped", "plain_path", "read_documents")

BYTE_LIMIT = 50_000_000
"""The largest file that is read, in bytes."""
_SUFFIXES = frozenset({"", ".adoc", ".htm", ".html", ".markdown", ".md", ".pdf", ".rst", ".text", ".txt", ".xhtml"})
_PASSED_OVER = frozenset({"__pycache__", "node_modules", "venv"})


class Document(NamedTuple):
    """One file that was read."""

    name: str
    """Its path as it was given, or below the folder that was given; relative to the working directory if inside."""
    text: str
    """What it says. Line `n` is line `n` of the file (of the extracted text for a PDF); lines end with a line feed."""

    lost: tuple[str, ...] = ()
    """What could not be read of it, such as a damaged page of a PDF."""

    @property
    def lines(self) -> list[str]:
        """The lines of the text, without their ends; the first has number 1."""
        return self.text.split("\n")


class Skipped(NamedTuple):
    """One entry of a folder that was not read, or a document that was read in part."""

    name: str
    """Its path."""
    reason: str
    """Why it was not read."""


class Documents(NamedTuple):
    """What was read and what was not."""

    documents: list[Document]
    """In the order of the paths that were given; inside a folder by name."""
    skipped: list[Skipped]
    """What stands in the folders and was not read; hidden entries and caches are not named."""

    @property
    def read_in_part(self) -> list[Skipped]:
        """The documents of which something could not be read."""
        return [Skipped(one.name, f"was read in part: {'; '.join(one.lost)}") for one in self.documents if one.lost]


def read_documents(
    paths: Iterable[str | os.PathLike[str]], *, root: Path | None = None, byte_limit: int = BYTE_LIMIT
) -> Documents:
    """Read text, Markdown, HTML and PDF files, given by name or in folders.

    Text must be UTF-8 (UTF-16 and UTF-32 with a byte order mark too). Folders are walked in order of names; hidden
    entries, `node_modules`, `venv` and `__pycache__` are passed over, links to folders are not followed. Names are
    relative to `root` (the working directory) where they lie inside it. A file that is named and cannot be read, and a
    folder without any document, raise `BadInput`; an unreadable file inside a folder is skipped and reported. A PDF
    with damaged pages is read as far as it can be; `Document.lost` tells the rest.
    """
    if isinstance(paths, str | os.PathLike):
        raise BadInput(f"`paths` must be a list of files and folders, got {paths!r}; put it into a list")
    base = (root or Path.cwd()).resolve()
    found = Documents([], [])
    seen: set[Path] = set()
    given = [os.fspath(path) for path in paths]
    if not given:
        raise BadInput("no documents were given; name at least one file or folder")
    if "" in given:
        raise BadInput("a path is empty; name a file or folder (`.` is the working directory)")
    for path in given:
        _read_path(plain_path(path), base, byte_limit, found, seen)
    return found


def plain_path(path: str | os.PathLike[str]) -> Path:
    """Return `path` without `..`, wherever that names the same place (behind a link to a folder it may not)."""
    given = Path(path)
    plain = Path(os.path.normpath(given))
    try:
        is_same = ".." not in given.parts or plain.resolve() == given.resolve()
    except (OSError, RuntimeError, ValueError):  # it cannot be looked up; whoever opens it tells why
        is_same = False
    return plain if is_same else given


def _read_path(path: Path, base: Path, byte_limit: int, found: Documents, seen: set[Path]) -> None:
    try:
        is_folder = path.is_dir()
        is_there = is_folder or os.path.lexists(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"{str(path)!r} cannot be opened: {_reason(error)}; check the path") from error
    if not is_there:
        where = "" if path.is_absolute() else f" (it is looked up from {str(Path.cwd())!r})"
        raise BadInput(f"{str(path)!r} does not exist; check the path{where}")
    if is_folder:
        _read_folder(path, base, byte_limit, found, seen)
        return
    try:
        document = _document(path, base, byte_limit, seen)
    except Unreadable as error:
        raise BadInput(f"{str(path)!r} {error}; {error.advice}") from error
    found.documents.extend([document] if document else [])


def _read_folder(folder: Path, base: Path, byte_limit: int, found: Documents, seen: set[Path]) -> None:
    known, skips = len(seen), len(found.skipped)
    if not os.access(folder, os.R_OK | os.X_OK):
        raise BadInput(f"folder {str(folder)!r} may not be read; change its permissions or name another")
    inside_known = False
    for path, reason in _walk(folder):
        name = _name(path, base)
        if reason is None:
            try:
                inside_known = inside_known or path.resolve() in seen
                document = _document(path, base, byte_limit, seen)
                found.documents.extend([document] if document else [])
            except Unreadable as error:
                reason = str(error)
        if reason is not None:
            found.skipped.append(Skipped(name, reason))
    if len(seen) == known and not inside_known:
        raise BadInput(_nothing_in(folder, found.skipped[skips:]))


def _nothing_in(folder: Path, skipped: list[Skipped]) -> str:
    wanted = "put text, Markdown, HTML or PDF files into it, or name another"
    if not skipped:
        return f"folder {str(folder)!r} holds no document; {wanted}"
    examples = "; ".join(f"{name} {reason}" for name, reason in skipped[:3])
    return f"folder {str(folder)!r} holds no document that can be read ({examples}); {wanted}"


def _walk(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield the files below `folder` by name, each with the reason why it is not to be read, if there is one."""
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        if not _is_folder(path):
            known = path.suffix.lower() in _SUFFIXES
            yield path, None if known else f"is no document (a {path.suffix} file)"
        elif path.is_symlink() and path != folder:
            yield path, "is a link to a folder, which is not followed"
        else:
            try:
                entries = [entry for entry in path.iterdir() if not _is_passed_over(entry.name)]
            except OSError as error:
                yield path, f"may not be read: {_reason(error)}"
            else:
                waiting += sorted(entries, key=lambda entry: entry.name, reverse=True)


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name in _PASSED_OVER


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # it may be listed and not be looked at
        return False


def _document(path: Path, base: Path, byte_limit: int, seen: set[Path]) -> Document | None:
    """Read one file; None if it was read before under another name."""
    try:
        place = path.resolve(strict=True)
        if place in seen:
            return None
        size = place.stat().st_size
        if not place.is_file():
            raise Unreadable("is not a regular file", advice="name a file or a folder")
        if size > byte_limit:
            raise Unreadable(
                f"has {size:,} bytes, more than the limit of {byte_limit:,}", advice="split it or name a smaller one"
            )
        data = place.read_bytes()
    except (OSError, RuntimeError) as error:
        advice = "check that it is there and that you may read it"
        raise Unreadable(f"cannot be read: {_reason(error)}", advice=advice) from error
    lost: list[str] = []
    text = text_of_bytes(data, suffix=path.suffix.lower(), lost=lost)
    seen.add(place)
    return Document(_name(path, base), text, tuple(lost))


def _name(path: Path, base: Path) -> str:
    """Return `path` relative to `base` if it lies inside, else as it is; always text that can be stored."""
    plain = Path(os.path.normpath(base / path))
    shown = plain.relative_to(base) if plain.is_relative_to(base) else path
    return os.fsencode(shown.as_posix()).decode("utf-8", errors="replace")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
