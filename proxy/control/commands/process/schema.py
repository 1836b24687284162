"""`show schema json`: what `show info json` and `show stat json` look like (JSON Schema draft 4).

Titles and definitions have HAProxy's names (management manual 9.3, `show schema json`), so that a
tool that looks for them finds them. Made from the tables that the answers are made from.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from proxy.control.command import Answer, Command, Level
from proxy.control.rows.stat_columns import NATURES, ORIGINS, SCOPES
from proxy.control.rows.stat_format import OBJECTS

Schema: TypeAlias = dict[str, Any]
EXACT_MAX = (1 << 53) - 1  # of integers that every reader of JSON keeps whole


def reference(name: str) -> Schema:
    """A definition by its name."""
    return {"$ref": f"#/definitions/{name}"}


def whole(least: int, most: int | None = None) -> Schema:
    """An integer of a range."""
    limits = {"minimum": least} if most is None else {"minimum": least, "maximum": most}
    return {"type": "integer", **limits}


def thing(**properties: Schema) -> Schema:
    """An object that has all of these."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def one_of(words: dict[Any, str]) -> Schema:
    """One of some texts, or what a later version says."""
    return {"type": "string", "enum": [*words.values(), "Unknown"]}


def typed(name: str, value: Schema) -> Schema:
    """A value with the name of its type."""
    return thing(type={"type": "string", "enum": [name]}, value=value)


VALUES = {
    "s32Value": typed("s32", whole(-(1 << 31), (1 << 31) - 1)),
    "s64Value": typed("s64", whole(-EXACT_MAX, EXACT_MAX)),
    "u32Value": typed("u32", whole(0, (1 << 32) - 1)),
    "u64Value": typed("u64", whole(0, EXACT_MAX)),
    "fltValue": typed("flt", {"type": "number"}),
    "strValue": typed("str", {"type": "string"}),
}
FIELD = {
    "field": reference("field"),
    "processNum": reference("processNum"),
    "tags": reference("tags"),
    "value": reference("typedValue"),
}
OBJECT = {"objType": one_of(OBJECTS), "proxyId": whole(0), "id": whole(0)}
SCHEMA = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "oneOf": [
        {"title": "Info", "type": "array", "items": {"title": "InfoItem", **thing(**FIELD)}},
        {
            "title": "Stat",
            "type": "array",
            "items": {
                "title": "StatRow",
                "type": "array",
                "items": {"title": "StatItem", **thing(**OBJECT, **FIELD)},
            },
        },
        {"title": "Error", **thing(errorStr={"type": "string"})},
    ],
    "definitions": {
        "field": thing(pos=whole(0), name={"type": "string"}),
        "processNum": whole(1),
        "tags": thing(origin=one_of(ORIGINS), nature=one_of(NATURES), scope=one_of(SCOPES)),
        "typedValue": {
            "oneOf": [reference(f"typedValue/definitions/{name}") for name in VALUES],
            "definitions": VALUES,
        },
    },
}
TEXT = msgspec.json.encode(SCHEMA).decode()


class SchemaCommand:
    """The command that tells the schema."""

    def commands(self) -> list[Command]:
        """What this family answers to."""
        text = "schema of 'show info json' and 'show stat json'"
        return [Command(("show", "schema", "json"), "", text, Level.USER, self.show)]

    def show(self, _words: list[str], _level: Level) -> Answer:
        """`show schema json`."""
        return [f"{TEXT}\n"]
