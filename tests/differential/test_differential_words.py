"""Words of a server line about its addresses: HAProxy and Millrace choose the same ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.differential.pair import disagreements, millrace_command
from tests.support.differential.scenarios import Scenario, answers
from tests.support.dns.scripted import NODATA, NX, records

OPTIONS = "resolvers r1 resolve-prefer ipv4 init-addr none"


def _server(words: str, name: str = "app.test:8080") -> str:
    return f"backend be\n    server s1 {name} {words}"


PREFERRED_NETWORK = Scenario(
    name="an address in a preferred network is taken first, and kept",
    backends=_server(f"{OPTIONS} resolve-net NET.128/25"),
    zone={("app.test", "A"): records("NET.1", "NET.200", "NET.2")},
    steps=(
        answers(1.5, "app.test", "A", records("NET.1")),
        answers(3.0, "app.test", "A", records("NET.1", "NET.201")),  # moves no server
        answers(4.5, "app.test", "A", records("NET.201", "NET.3")),
    ),
    seconds=6.0,
)
SECOND_NETWORK = Scenario(
    name="each of several preferred networks is as good",
    backends=_server(f"{OPTIONS} resolve-net 192.0.2.0/24,NET.64/26,NET.128/25"),
    zone={("app.test", "A"): records("NET.1", "NET.70")},
    steps=(answers(1.5, "app.test", "A", records("NET.1", "NET.130")),),
    seconds=3.0,
)
OTHER_FAMILY = Scenario(
    name="a preferred network of the other family changes nothing",
    backends=_server(f"{OPTIONS} resolve-net 2001:db8::/32"),
    zone={("app.test", "A"): records("NET.1"), ("app.test", "AAAA"): NODATA},
    steps=(answers(1.5, "app.test", "A", records("NET.2")),),
    seconds=3.0,
)
SHARED_ADDRESS = Scenario(
    name="allow-dup-ip gives one address to all servers",
    backends=(
        f"backend be\n    server-template web 3 app.test:8080 {OPTIONS} resolve-opts allow-dup-ip"
    ),
    zone={("app.test", "A"): records("NET.1")},
    steps=(
        answers(1.5, "app.test", "*", NX),
        answers(5.5, "app.test", "A", records("NET.2")),
    ),
    seconds=7.0,
)
PREVENTED = Scenario(
    name="prevent-dup-ip takes allow-dup-ip of default-server back",
    backends=(
        f"backend be\n    default-server {OPTIONS} resolve-opts allow-dup-ip\n"
        "    server-template web 2 app.test:8080 resolve-opts prevent-dup-ip"
    ),
    zone={("app.test", "A"): records("NET.1")},
    steps=(answers(1.5, "app.test", "A", records("NET.1", "NET.2")),),
    seconds=3.0,
)
DEFAULT_SERVER = Scenario(
    name="default-server says it for all servers, and a range names them",
    backends=(
        f"backend be\n    default-server {OPTIONS} weight 7\n    server s1 one.test:8081\n"
        "    server-template web 4-6 app.test:8080 weight 3"
    ),
    zone={
        ("one.test", "A"): records("NET.9"),
        ("app.test", "A"): records("NET.1", "NET.2", "NET.3"),
    },
    steps=(answers(1.5, "app.test", "A", records("NET.2")),),
    seconds=3.0,
)
SPELLING = Scenario(
    name="letter case and a final dot make no other name",
    backends=(
        f"backend be\n    server s1 APP.test.:8080 {OPTIONS}\n    server s2 app.TEST:8080 {OPTIONS}"
    ),
    zone={("app.test", "A"): records("NET.1", "NET.2")},
    steps=(answers(1.5, "app.test", "A", records("NET.2", "NET.3")),),
    seconds=3.0,
)
BOTH_PREFERENCES = Scenario(
    name="one name under both preferences is two resolutions",
    backends=(
        f"backend be\n    server s1 app.test:8080 {OPTIONS}\n    server s2 app.test:8080"
        " resolvers r1 resolve-prefer ipv6 init-addr none"
    ),
    zone={("app.test", "A"): records("NET.1"), ("app.test", "AAAA"): records("::1")},
    steps=(
        answers(1.5, "app.test", "A", records("NET.2")),
        answers(3.0, "app.test", "AAAA", records("fd00::1")),
    ),
    seconds=4.5,
)
OVER_TCP = Scenario(
    name="a nameserver over TCP alone",
    backends=f"backend be\n    server-template web 3 app.test:8080 {OPTIONS}",
    zone={("app.test", "A"): records("NET.1", "NET.2")},
    over_tcp=True,
    steps=(
        answers(1.5, "app.test", "A", records("NET.2", "NET.3", "NET.4")),
        answers(3.0, "app.test", "*", NX),
        answers(7.0, "app.test", "A", records("NET.5")),
    ),
    seconds=8.5,
)

SCENARIOS = (
    PREFERRED_NETWORK,
    SECOND_NETWORK,
    OTHER_FAMILY,
    SHARED_ADDRESS,
    PREVENTED,
    DEFAULT_SERVER,
    SPELLING,
    BOTH_PREFERENCES,
    OVER_TCP,
)


@pytest.mark.slow
@pytest.mark.quiet
def test_words_about_addresses_give_the_sequences_of_haproxy(tmp_path: Path) -> None:
    accounts = disagreements(SCENARIOS, millrace_command(), tmp_path)
    assert not accounts, "\n\n".join(accounts)
