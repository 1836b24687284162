"""Stick tables when all sections are known: which there are, and which a rule names.

Owns the errors about tables that there are not, twice, or of another type than a rule's key.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.rules.fetches import SampleType
from proxy.config.linking.rules.conditions import SectionIndex
from proxy.config.text.messages import ConfigError, Messages
from shm.tables.shape import KeyType, Stored, TableData, TableShape

_WANTED = {
    KeyType.IP: SampleType.ADDRESS,
    KeyType.IPV6: SampleType.ADDRESS,
    KeyType.INTEGER: SampleType.NUMBER,
    KeyType.STRING: SampleType.TEXT,
    KeyType.BINARY: SampleType.BYTES,
}


def shapes_of(drafts: Sequence[ProxyDraft]) -> tuple[TableShape, ...]:
    """The tables, in the order of the file; one that rules stick with stores servers."""
    sticky = {
        rule.target
        for draft in drafts
        if not draft.disabled
        for rule in (*draft.rules.sticks, *draft.rules.answers)
    }
    return tuple(
        _storing_servers(draft.table.shape) if draft.name in sticky else draft.table.shape
        for draft in drafts
        if draft.table is not None and not draft.disabled
    )


def _storing_servers(shape: TableShape) -> TableShape:
    if shape.find(TableData.SERVER_ID) is not None:
        return shape
    return shape._replace(stored=(Stored(TableData.SERVER_ID), *shape.stored))


def check_tables(drafts: Sequence[ProxyDraft], messages: Messages) -> None:
    """Add an alert for each name that two tables have: a frontend's and a backend's."""
    known: dict[str, ProxyDraft] = {}
    for draft in drafts:
        if draft.table is None or draft.disabled:
            continue
        other = known.setdefault(draft.name, draft)
        if other is not draft and other.table is not None:
            where = other.table.origin
            messages.alert(
                f"stick-table name '{draft.name}' conflicts with table declared in {other.title} "
                f"at {where.file}:{where.line}.",
                draft.table.origin,
            )


def table_to_track(
    kind: SampleType, name: str, place: int, section: str, directory: SectionIndex
) -> int:
    """The number of the table whose entries sessions of this section follow; ConfigError."""
    found = directory.table(name)
    if found is None:
        raise ConfigError(
            f"Proxy '{section}': unable to find table '{name}' referenced by track-sc{place}."
        )
    number, shape = found
    if not kind.becomes(_WANTED[shape.key]):
        raise ConfigError(
            f"Proxy '{section}': stick-table '{name}' uses a type incompatible with the "
            f"'track-sc{place}' rule."
        )
    return number


def table_of(
    kind: SampleType, name: str, section: str, directory: SectionIndex, what: str = "stick-table"
) -> int:
    """The number of the table that a rule of this section names, for such keys; ConfigError."""
    found = directory.table(name)
    if found is None:
        raise ConfigError(f"Proxy '{section}': unable to find {what} '{name}'.")
    number, shape = found
    if not kind.becomes(_WANTED[shape.key]):
        raise ConfigError(
            f"Proxy '{section}': type of fetch not usable with type of stick-table '{name}'."
        )
    return number
