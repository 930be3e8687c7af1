"""The default database of a `Runner` and of the command."""

from __future__ import annotations

from pathlib import Path

from guardgraph.state import StorageUnavailable

__all__ = ("DEFAULT_URL", "with_folder")

DEFAULT_URL = "sqlite:///.guardgraph/runs.db"
"""A file in the working directory."""


def with_folder(url: str) -> str:
    """Return `url`; make the folder of the default database, which version control ignores.

    Raises:
        StorageUnavailable: the folder cannot be made.
    """
    folder = Path(".guardgraph")
    ignore = folder / ".gitignore"
    try:
        if url == DEFAULT_URL and not ignore.exists():
            folder.mkdir(exist_ok=True)
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        reason = f"cannot make the folder {str(folder.absolute())!r}: {error.strerror or error}"
        raise StorageUnavailable(f"{reason}; name another database, as by --db or Runner(url)") from error
    return url
