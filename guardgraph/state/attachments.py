"""Attachments of a task: content blocks of LangChain, checked, and stored apart from what refers to them."""

from __future__ import annotations

import json
from binascii import Error, a2b_base64
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TypeAlias

from pydantic import JsonValue

__all__ = ("MOST_ATTACHED", "Attachment", "check_attachments", "missing_content", "with_content", "without_content")

Attachment: TypeAlias = dict[str, JsonValue]
"""One of LangChain's standard content blocks, such as `{"type": "image", "base64": "…", "mime_type": "image/png"}`."""

MOST_ATTACHED = 20_000_000
"""Characters of base64 and of text in all attachments of a task."""

_TYPES = ("image", "audio", "video", "file", "text-plain")
_CONTENT = ("base64", "text")
"""The fields that hold content itself."""
_SOURCES = (*_CONTENT, "url", "file_id")
_LONGEST_URL = 10_000
_MARK = "sha256:"


def check_attachments(blocks: Iterable[Attachment]) -> None:
    """Raise `ValueError` for the first block that is none of LangChain's, or for too much content in all.

    A block has one of `base64` (with a `mime_type`), `text` (of `text-plain`), `url` and `file_id`.
    """
    total = 0
    for number, block in enumerate(blocks):
        problem = None if _is_reference(block) else _problem(block)
        if problem is not None:
            raise ValueError(f"attachment {number} {problem}")
        total += sum(len(str(block[name])) for name in _CONTENT if name in block)
    if total > MOST_ATTACHED:
        raise ValueError(
            f"the attachments hold {total:,} characters, and at most {MOST_ATTACHED:,} fit; give a `url` or a `file_id`"
        )


def without_content(blocks: Iterable[Attachment]) -> tuple[tuple[Attachment, ...], dict[str, Attachment]]:
    """Return the blocks with a digest in place of their content, and those that had content by this digest."""
    references, contents = list[Attachment](), dict[str, Attachment]()
    for block in blocks:
        if _is_reference(block) or not any(name in block for name in _CONTENT):
            references.append(block)
            continue
        named = {key: value for key, value in block.items() if key != "id"}
        digest = _MARK + sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()
        contents[digest] = block
        kept = {key: named[key] for key in ("type", "mime_type") if key in named}
        references.append({**kept, "id": digest})
    return tuple(references), contents


def missing_content(blocks: Iterable[Attachment], known: Mapping[str, Attachment]) -> tuple[str, ...]:
    """Return the digests of the blocks whose content is not among what is `known`."""
    return tuple(str(block["id"]) for block in blocks if _is_reference(block) and block["id"] not in known)


def with_content(blocks: Iterable[Attachment], known: Mapping[str, Attachment]) -> tuple[Attachment, ...]:
    """Return the blocks with the content that is `known` by its digest."""
    return tuple(known.get(str(block["id"]), block) if _is_reference(block) else block for block in blocks)


def _is_reference(block: Attachment) -> bool:
    return str(block.get("id", "")).startswith(_MARK) and not any(name in block for name in _SOURCES)


def _problem(block: Attachment) -> str | None:
    kind, sources = block.get("type"), [name for name in _SOURCES if name in block]
    if kind not in _TYPES:
        return f"is of the type {str(kind)[:40]!r}; a content block is one of {', '.join(_TYPES)}"
    if len(sources) != 1 or not isinstance(content := block[sources[0]], str) or not content:
        return f"({kind}) needs exactly one of base64, text, url and file_id, as a text"
    if sources == ["text"]:
        return None if kind == "text-plain" else f"({kind}) has a `text`; that is for `text-plain`"
    if sources == ["url"] and (len(content) > _LONGEST_URL or content.startswith("data:")):
        return f"({kind}) holds its content in the `url`; give it as `base64` with a `mime_type`"
    return _base64_problem(kind, block, content) if sources == ["base64"] else None


def _base64_problem(kind: object, block: Attachment, content: str) -> str | None:
    if not isinstance(block.get("mime_type"), str):
        return f"({kind}) needs a `mime_type` beside its base64"
    try:
        a2b_base64(content, strict_mode=True)
    except (Error, ValueError):
        return f"({kind}) is no valid base64"
    return None
