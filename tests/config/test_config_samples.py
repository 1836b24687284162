"""Every fetch and converter of the manual: it works in mode tcp, or says why it does not.

The table has a line for each, and for those that the manual of HAProxy 2.6 has not ("beyond").
`answers only`: sections that answer themselves have it. `later`: it is refused, without a reason.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from proxy.config.lines.rules.converters import CONVERTERS, converters_of
from proxy.config.lines.rules.expression import parse_expression
from proxy.config.lines.rules.fetches import FETCHES, RULES, Fetch, SampleType, Scope
from proxy.config.lines.rules.maps import MAPS
from proxy.config.model.settings import Origin
from proxy.config.text.calls import Call
from proxy.config.text.messages import ConfigError

TABLE = Path(__file__).parent / "oracle" / "samples.txt"
MANUAL = Path("/usr/share/doc/haproxy/configuration.txt.gz")
IN_EXAMPLES = {"unique-id", "set-cookie"}
ROWS = {
    word: said
    for line in TABLE.read_text().splitlines()
    for word, _, said in [line.partition(": ")]
}


def words(kind: str) -> dict[str, str]:
    """What the table says of each word of a kind."""
    found = {}
    for word, said in ROWS.items():
        its_kind, *rest = word.split()
        if its_kind == kind:
            found[rest[-1]] = said
    return found


def of_fetch(name: str) -> str:
    """What the compiler says of a fetch in rules of connections."""
    fetch = FETCHES.get(name)
    if fetch is not None and fetch.scope & RULES:
        return "works" if fetch.scope & RULES & ~Scope.REQUEST else "answers only"
    with pytest.raises(ConfigError) as refused:
        parse_expression(Origin(), (name, "-m", "found"), pytest.fail)
    return reason_in(refused.value, f"fetch method '{name}'")


def is_old_spelling(name: str, fetch: Fetch) -> bool:
    """Whether a matching method is at the end of its name."""
    return fetch.matcher is not None and name.endswith(f"_{fetch.matcher.value}")


def of_converter(name: str) -> str:
    if name in CONVERTERS or name in MAPS:
        return "works"
    with pytest.raises(ConfigError) as refused:
        converters_of(SampleType.TEXT, [Call(name, None)])
    return reason_in(refused.value, f"converter '{name}'")


def reason_in(error: ConfigError, what: str) -> str:
    reason = str(error).partition(f"{what} is not supported: ")[2]
    return f"refused: {reason}" if reason else "later"


def test_the_table_says_what_the_compiler_says() -> None:
    said = {f"fetch {name}": of_fetch(name) for name in words("fetch")}
    said |= {f"converter {name}": of_converter(name) for name in words("converter")}
    told = {f"fetch {name}": text for name, text in words("fetch").items()}
    told |= {f"converter {name}": text for name, text in words("converter").items()}
    assert said == told


def test_the_table_forgets_no_word_of_the_compiler() -> None:
    here = {
        name
        for name, fetch in FETCHES.items()
        if fetch.scope & RULES & ~Scope.REQUEST and not is_old_spelling(name, fetch)
    }
    assert here <= words("fetch").keys()
    assert CONVERTERS.keys() <= words("converter").keys()


def section(text: str, start: str, end: str) -> str:
    """The text from one heading to another, behind the table of contents."""
    first, last = (
        [match.start() for match in re.finditer(f"^{re.escape(head)}", text, re.MULTILINE)][-1]
        for head in (start, end)
    )
    return text[first:last]


def test_the_table_forgets_no_word_of_the_manual() -> None:
    if not MANUAL.exists():
        pytest.skip("haproxy-doc is not installed")
    text = gzip.decompress(MANUAL.read_bytes()).decode()
    fetches = re.findall(
        r"^([a-z0-9_][\w.+-]*)(?:\([^\n]*\))? *: [a-z]",
        section(text, "7.3.2. ", "7.4. "),
        re.MULTILINE,
    )
    converters = re.findall(
        r"^([a-z0-9_][\w.-]*)(?:\([^\n]*\))?(?: : [a-z ]+)?(?: +\(deprecated\))?$",
        section(text, "7.3.1. ", "7.3.2. "),
        re.MULTILINE,
    )
    assert set(fetches) - IN_EXAMPLES == {
        word.split()[-1] for word in ROWS if word.startswith("fetch ") and "beyond" not in word
    }
    assert set(converters) == {
        word.split()[-1] for word in ROWS if word.startswith("converter ") and "beyond" not in word
    }
