"""What a section costs to read does not depend on how many there are: calls counted, not seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from proxy.config.text.messages import Severity
from proxy.config.text.suggest import COMPARED_MAX, NameIndex
from tests.support.config.loading import load_text, said
from tests.support.generated import sample

HEAD = "defaults d\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n"
TIMES = 10  # the larger file has so many times the sections
GROWTH_MAX = 1.3  # calls of a line in the larger file by those in the smaller one: names grow, too


def lines(number: int, line: Callable[[int], str]) -> str:
    return "".join(line(each) for each in range(number))


def pairs(number: int, wanted: str = "b") -> str:
    """`number` sections: each frontend has a backend of its own, behind all frontends."""
    half = number // 2
    fronts = lines(
        half, lambda n: f"frontend f{n}\n bind 127.0.0.1:{n + 1}\n default_backend {wanted}{n}\n"
    )
    return HEAD + fronts + lines(half, lambda n: f"backend b{n}\n server s 127.0.0.1:80\n")


def within_one(number: int, line: Callable[[int], str]) -> str:
    return f"{HEAD}listen l\n bind 127.0.0.1:1\n" + lines(number, line)


def with_resolvers(number: int, wanted: str) -> str:
    sections = lines(number // 2, lambda n: f"resolvers r{n}\n nameserver n 127.0.0.1:53\n")
    return (
        HEAD
        + sections
        + lines(
            number // 2,
            lambda n: (
                f"listen f{n}\n bind 127.0.0.1:{n + 1}\n server s a.test:80 resolvers {wanted}{n}\n"
            ),
        )
    )


def with_defaults(number: int, wanted: str) -> str:
    return HEAD + lines(
        number // 2,
        lambda n: (
            f"defaults d{n}\n mode tcp\nlisten f{n} from {wanted}{n}\n bind 127.0.0.1:{n + 1}\n"
        ),
    )


FILES: dict[str, Callable[[int], str]] = {
    "pairs": pairs,
    "unknown backends": lambda number: pairs(number, "bb"),
    "resolvers": lambda number: with_resolvers(number, "r"),
    "unknown resolvers": lambda number: with_resolvers(number, "rr"),
    "defaults": lambda number: with_defaults(number, "d"),
    "unknown defaults": lambda number: with_defaults(number, "dd"),
    "servers": lambda number: within_one(number, lambda n: f" server s{n} 127.0.0.2:80\n"),
    "bind lines": lambda number: within_one(number, lambda n: f" bind 127.0.0.2:{n + 1}\n"),
    "chain of tracking": lambda number: within_one(
        number,
        lambda n: f" server s{n} 127.0.0.2:80 {f'track s{n + 1}' if n + 1 < number else 'check'}\n",
    ),
    "unknown tracking": lambda number: within_one(
        number, lambda n: f" server s{n} 127.0.0.2:80 track ss{n}\n"
    ),
    "one loop of tracking": lambda number: within_one(
        number, lambda n: f" server s{n} 127.0.0.2:80 track s{(n + 1) % number}\n"
    ),
    "logs": lambda number: within_one(number, lambda n: f" log 127.0.0.1:{n + 1} local0\n"),
    "unknown words": lambda number: within_one(number, lambda n: f" servr s{n} 127.0.0.2:80\n"),
    "rules of defaults": lambda number: (
        HEAD.replace(
            "defaults d\n",
            "defaults d\n" + lines(number, lambda n: f" http-request deny if a{n}\n"),
        )
        + lines(number, lambda n: f"listen f{n}\n bind 127.0.0.1:{n + 1}\n")
    ),
    "wrong formats": lambda number: (
        HEAD.replace("defaults d\n", "defaults d\n log 127.0.0.1 local0\n log-format %zz\n")
        + lines(number, lambda n: f"listen f{n}\n bind 127.0.0.1:{n + 1}\n")
    ),
}


def calls_of(text: str) -> int:
    """How many functions, Python's and C's, reading this file calls."""
    count = 0

    def profile(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        load_text(text)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_section_costs_the_same_among_ten_times_as_many(name: str) -> None:
    smaller = 50 if name == "unknown words" else sample(50, full=150)
    few, many = (calls_of(FILES[name](number)) for number in (smaller, smaller * TIMES))
    assert many <= few * TIMES * GROWTH_MAX


def test_among_many_names_the_one_that_was_meant_is_found() -> None:
    names = NameIndex(f"backend-{number}-east" for number in range(10 * COMPARED_MAX))
    for unknown in ("bckend-77-east", "backend-77-eastt", "backemd-77-east", "backend-77-aest"):
        assert names.hint(unknown) == "; did you mean 'backend-77-east' maybe ?", unknown
    assert names.hint("something-else") == ""
    names.add("something-els")
    assert names.hint("something-else") == "; did you mean 'something-els' maybe ?"


@pytest.mark.parametrize(
    ("tracks", "named"),
    [
        ({"a": "b", "b": "c", "c": "a"}, ("c", "a")),
        ({"x": "y", "y": "a", "a": "b", "b": "a"}, ("b", "a")),
        ({"x": "y", "b": "a", "y": "a", "a": "b"}, ("a", "b")),
        ({"a": "b", "b": "a", "x": "y", "y": "b"}, ("b", "a")),
        ({"a": "a", "b": "a"}, ("a", "a")),
    ],
)
def test_the_last_server_of_a_loop_is_told_where_it_loops(
    tracks: dict[str, str], named: tuple[str, str]
) -> None:
    """As HAProxy, which says it where the chain closes."""
    text = within_one(0, str) + "".join(
        f" server {name} 127.0.0.2:80 track {tracked}\n" for name, tracked in tracks.items()
    )
    last, tracked = named
    assert [alert for _, alert in said(load_text(text), Severity.ALERT)] == [
        f"'server l/{last}' : unable to track l/{tracked} as it belongs to a tracking chain "
        f"looping back to l/{last}."
    ]
