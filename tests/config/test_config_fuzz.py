"""No configuration, however broken, gives anything but settings or messages with a place."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.config.lines.process.resolvers import RESOLVERS_WORDS
from proxy.config.lines.process.words import GLOBAL_WORDS
from proxy.config.lines.proxy.bind import BIND_OPTIONS
from proxy.config.lines.proxy.option import OPTIONS
from proxy.config.lines.proxy.words import PROXY_WORDS, TIMEOUTS
from proxy.config.lines.server.options import SERVER_OPTIONS
from proxy.config.loader import LoadResult
from proxy.config.model.settings import Settings
from proxy.config.report import summarize
from proxy.config.sections import SECTIONS
from proxy.config.text.messages import Severity
from proxy.server_table import ServerTable
from tests.support.config.loading import load_text
from tests.support.generated import examples

MISSION = Path(__file__).parent.parent / "mission"
SEEDS = [path.read_text() for path in sorted(MISSION.glob("*.cfg"))]
VALUES = [
    *(
        "",
        "a",
        "b",
        "0",
        "1",
        "-1",
        "65536",
        "99999999999",
        "10s",
        "1d",
        "x y",
        "tcp",
        "http",
        "no",
    ),
    *(
        "127.0.0.1:80",
        ":80",
        "[::1]:80",
        "app.test:80",
        "_a._tcp.b",
        "/tmp/x",
        "fd@3",
        "abns@",
        "@",
    ),
    *("from", "r", "local0", "ipv4", "last,libc,none", "::", "*", "1-3", "+5", "\u00e9", "\\xff"),
]
WORDS = sorted(
    {
        *("frontend", "backend", "listen", "defaults", "global", "resolvers", "default"),
        *GLOBAL_WORDS.keys(),
        *PROXY_WORDS.keys(),
        *RESOLVERS_WORDS.keys(),
        *SECTIONS,
    }
)
ARGUMENTS = sorted({*VALUES, *OPTIONS.keys(), *TIMEOUTS, *SERVER_OPTIONS.keys(), *BIND_OPTIONS})

lines = st.builds(
    lambda word, arguments: " ".join([word, *arguments]),
    st.sampled_from(WORDS),
    st.lists(st.sampled_from(ARGUMENTS), max_size=6),
)
headers = st.sampled_from(
    ["listen a", "backend b", "resolvers r", "global", "frontend f", "defaults"]
)


def judge(outcome: LoadResult) -> None:
    """Either settings that can be sent, or at least one ALERT; and a report either way."""
    failed = any(message.severity is Severity.ALERT for message in outcome.messages)
    assert (outcome.settings is None) is failed
    if outcome.settings is not None:
        content = msgspec.msgpack.encode(outcome.settings)
        assert msgspec.msgpack.decode(content, type=Settings) == outcome.settings
        slots = [server.slot for server in ServerTable(outcome.settings)]
        assert slots == sorted(set(slots))  # spare slots lie between those of backends
        assert [bind.index for bind in outcome.settings.binds] == list(
            range(len(outcome.settings.binds))
        )
    for line in summarize(outcome.messages, check=True).lines:
        line.encode()


@pytest.mark.slow
@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(headers, st.lists(lines, max_size=5)), max_size=6))
def test_known_words_in_any_order_with_any_arguments(
    sections: list[tuple[str, list[str]]],
) -> None:
    text = "".join(
        f"{header}\n" + "".join(f" {line}\n" for line in body) for header, body in sections
    )
    judge(load_text(text))


@pytest.mark.slow
@settings(max_examples=examples(150))
@given(st.sampled_from(SEEDS), st.integers(0, 2_000), st.integers(0, 30), st.text(max_size=10))
def test_a_good_file_with_a_piece_replaced(text: str, at: int, size: int, piece: str) -> None:
    judge(load_text(text[:at] + piece + text[at + size :]))


@settings(max_examples=examples(100))
@given(st.binary(max_size=300))
def test_any_bytes(content: bytes) -> None:
    judge(load_text(content.decode(errors="surrogateescape")))


@settings(max_examples=examples(100))
@given(st.lists(lines, max_size=1), st.sampled_from(["listen a", "global", "resolvers r"]))
def test_one_wrong_line_is_reported_once_and_at_its_place(body: list[str], header: str) -> None:
    text = f"{header}\n" + "".join(f" {line}\n" for line in body)
    alerts = [
        message.origin.line
        for message in load_text(text).messages
        if message.severity is Severity.ALERT and message.origin is not None
    ]
    assert alerts in ([], [1], [2])
