"""Where runs are kept if nothing else is said, by a `Runner` and by the command alike."""

from __future__ import annotations

from pathlib import Path

from guardgraph.state import StorageUnavailable

__all__ = ("DEFAULT_URL", "with_folder")

DEFAULT_URL = "sqlite:///.guardgraph/runs.db"
"""A file in the working directory."""


def with_folder(url: str) -> str:
    """Return `url`; the folder of the default database is made, and kept out of version control.

    Raises:
        StorageUnavailable: the folder cannot be made.
    """
    if url != DEFAULT_URL:
        return url
    folder = Path(".guardgraph")
    try:
        folder.mkdir(exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        place, reason = str(folder.absolute()), error.strerror or str(error)
        raise StorageUnavailable(
            f"cannot make the folder {place!r}: {reason}; name another database, as by --db or Runner(url)"
        ) from error
    return url
