"""Patterns of acls and maps as their files have them, compared with those in force.

A reload reads the files anew, so what was changed at run time is lost unless a file has it by then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from msgspec.structs import replace

from proxy.config.model.lists import Reference
from shm.files import read_whole

FILE_BYTES_MAX = 1 << 30
Entry = tuple[bytes, bytes | None]  # a pattern, and the value that a map has for it


def title_of_list(reference: Reference) -> str:
    """`map <file>`; `acl #<number>` where its patterns stand in a line."""
    kind = "map" if reference.of_maps else "acl"
    return f"{kind} {reference.name or f'#{reference.id}'}"


def digests_of(references: Iterable[Reference]) -> dict[str, str]:
    """The digest of each file with patterns, by its title."""
    return {
        title_of_list(each): sha256(each.content).hexdigest() for each in references if each.name
    }


def entries_read(said: Reference) -> Iterator[Entry]:
    """Patterns with their values as they were read; Packer.read says what a line is."""
    for line in BytesIO(said.content) if said.name else ():  # a line at a time
        text = re.split(rb"[\r\n\0]", line.lstrip(b" \t"), maxsplit=1)[0]
        if line[:1] == b"#" or not text:
            continue
        if not said.valued:
            yield text, None
            continue
        key, *value = text.split(maxsplit=1)
        yield key, value[0].rstrip(b" \t") if value else b""
    for pattern in said.patterns:
        yield pattern.encode(errors="surrogateescape"), None


def entries_digest(entries: Iterable[Entry]) -> str:
    """One digest for the same entries, in whatever order."""
    found = sha256()
    for key, value in sorted(entries, key=lambda each: (each[0], each[1] or b"")):
        found.update(b"%b\n" % key if value is None else b"%b %b\n" % (key, value))
    return found.hexdigest()


def lists_now(
    references: Iterable[Reference], folder: Path, unread: list[str]
) -> Iterator[Reference]:
    """Those with files, with what these have now; adds to `unread` why one cannot be read.

    `folder`: where relative paths begin.
    """
    for reference in references:
        if not reference.name:
            continue
        path = folder / reference.path
        try:
            with open(path, "rb", buffering=0) as stream:
                content = read_whole(stream.fileno(), FILE_BYTES_MAX)
        except OSError as error:
            unread.append(f"{path}: {error.strerror or error}")
        else:
            yield replace(reference, content=content)
