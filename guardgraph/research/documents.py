"""Documents from files and folders, with the reason for each file that cannot be read."""

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
_IGNORED_NAMES = frozenset({"__pycache__", "node_modules", "venv"})


class Document(NamedTuple):
    """One file that was read."""

    name: str
    """Its path as it was given, or below the folder that was given; relative to the working directory if inside."""
    text: str
    """Its content. Line `n` is line `n` of the file (of the extracted text for a PDF); lines end with a line feed."""

    lost: tuple[str, ...] = ()
    """What could not be read of it, such as a damaged page of a PDF."""


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
    """Files in the folders that were not read; hidden entries and caches are not listed."""

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
    with damaged pages is read as far as possible; `Document.lost` lists what is missing.
    """
    if isinstance(paths, str | os.PathLike):
        raise BadInput(f"`paths` must be a list of files and folders, got {paths!r}; put it into a list")
    given = [os.fspath(path) for path in paths]
    if not given:
        raise BadInput("no documents were given; name at least one file or folder")
    if "" in given:
        raise BadInput("a path is empty; name a file or folder (`.` is the working directory)")
    base, found, seen = (root or Path.cwd()).resolve(), Documents([], []), set[Path]()
    for path in map(plain_path, given):
        is_folder, skipped, has_document = _is_folder(path), list[Skipped](), False
        for file, reason in _walk(path) if is_folder else [(path, None)]:
            try:
                found.documents.extend(_documents_in(file, reason, base, byte_limit, seen))
                has_document = True
            except Unreadable as error:
                if not is_folder:
                    raise BadInput(f"{str(path)!r} {error}; {error.advice}") from error
                skipped.append(Skipped(_name(file, base), str(error)))
        if not has_document:
            raise BadInput(_nothing_in(path, skipped))
        found.skipped.extend(skipped)
    return found


def plain_path(path: str | os.PathLike[str]) -> Path:
    """Return `path` without `..`, if that is the same file (behind a link to a folder it may not be)."""
    given = Path(path)
    plain = Path(os.path.normpath(given))
    try:
        is_same = ".." not in given.parts or plain.resolve() == given.resolve()
    except (OSError, RuntimeError, ValueError):  # opening the file reports the reason
        is_same = False
    return plain if is_same else given


def _documents_in(file: Path, reason: str | None, base: Path, byte_limit: int, seen: set[Path]) -> list[Document]:
    """Return the document in `file`, or nothing if it is in `seen`. Raises `Unreadable`, also for a given `reason`."""
    if reason:
        raise Unreadable(reason, advice="name another file")
    try:
        resolved = file.resolve(strict=True)
        if resolved in seen:
            return []
        if not resolved.is_file():
            raise Unreadable("is not a regular file", advice="name a file or a folder")
        if (size := resolved.stat().st_size) > byte_limit:
            raise Unreadable(
                f"has {size:,} bytes, more than the limit of {byte_limit:,}", advice="split it or name a smaller one"
            )
        data = resolved.read_bytes()
    except (OSError, RuntimeError) as error:
        advice = "check that it exists and that you may read it"
        raise Unreadable(f"cannot be read: {_reason(error)}", advice=advice) from error
    lost: list[str] = []
    text = text_of_bytes(data, suffix=file.suffix.lower(), lost=lost)
    seen.add(resolved)
    return [Document(_name(file, base), text, tuple(lost))]


def _name(path: Path, base: Path) -> str:
    """Return `path` relative to `base` if it is inside, else as it is; always text that can be stored."""
    plain = Path(os.path.normpath(base / path))
    shown = plain.relative_to(base) if plain.is_relative_to(base) else path
    return os.fsencode(shown.as_posix()).decode("utf-8", errors="replace")


def _nothing_in(folder: Path, skipped: list[Skipped]) -> str:
    examples = "; ".join(f"{name} {reason}" for name, reason in skipped[:3])
    none = f"no document that can be read ({examples})" if skipped else "no document"
    advice = "put text, Markdown, HTML or PDF files into it, or name another"
    return f"folder {str(folder)!r} holds {none}; {advice}"


def _is_folder(path: Path) -> bool:
    """Return whether `path` is a folder. Raises `BadInput` if it does not exist, or if the folder may not be read."""
    try:
        is_folder = path.is_dir()
        exists = is_folder or os.path.lexists(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"{str(path)!r} cannot be opened: {_reason(error)}; check the path") from error
    if not exists:
        where = "" if path.is_absolute() else f" (it is looked up from {str(Path.cwd())!r})"
        raise BadInput(f"{str(path)!r} does not exist; check the path{where}")
    if is_folder and not os.access(path, os.R_OK | os.X_OK):
        raise BadInput(f"folder {str(path)!r} may not be read; change its permissions or name another")
    return is_folder


def _walk(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield the files below `folder` in order of names, each with the reason why it is not read, if there is one."""
    pending = [folder]
    while pending:
        path = pending.pop()
        try:
            if path.is_dir() and path.is_symlink() and path != folder:
                yield path, "is a link to a folder, which is not followed"
            elif path.is_dir():
                names = sorted((entry.name for entry in path.iterdir()), reverse=True)
                pending += [path / name for name in names if not name.startswith(".") and name not in _IGNORED_NAMES]
            else:
                is_known = path.suffix.lower() in _SUFFIXES
                yield path, None if is_known else f"is no document (a {path.suffix} file)"
        except OSError as error:
            yield path, f"cannot be read: {_reason(error)}"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
