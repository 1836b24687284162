"""Words about first bytes: patterns, arguments, and what is said of wrong ones."""

from __future__ import annotations

import pytest

from proxy.config.http_drafts import Expression
from proxy.config.lines.rules.expression import parse_expression
from proxy.config.model.matching import Matcher
from proxy.config.model.settings import Origin
from proxy.config.text.messages import ConfigError
from proxy.lists.pack import Packer
from tests.support.config.lists import texts_in

LEAST, MOST = -(2**63), 2**63 - 1


def read(text: str) -> Expression:
    [found] = parse_expression(Origin(), tuple(text.split()), pytest.fail)
    return found


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("3.1", (0x30001, 0x30001)),
        ("3", (0x30000, 0x30000)),
        ("3.1:3.3", (0x30001, 0x30003)),
        ("3.1:", (0x30001, MOST)),
        ("gt 3.1", (0x30002, MOST)),
        ("le 3.3", (LEAST, 0x30003)),
        ("-m int 769", (769, 769)),
    ],
)
def test_versions_are_dotted_unless_a_method_is_named(words: str, found: tuple[int, int]) -> None:
    packer = Packer("int")
    packer.add_range(*found)
    assert read(f"req.ssl_ver {words}").lists[0].packed == packer.packed()


@pytest.mark.parametrize("words", ["payload(0,2) 1603", "req.payload(0,2) -m bin 1603"])
def test_bytes_are_compared_with_digits(words: str) -> None:
    found = read(words)
    assert found.matcher is Matcher.BIN
    assert list(texts_in(found.lists[0].packed)) == [b"\x16\x03"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("req.payload(0,2) 1603", "matching method must be specified first"),
        ("req.payload(0,2) -m bin 160", "an even number of hex digit is expected"),
        ("req.payload(0) -m found", r"write req.payload\(<offset>,<length>\)"),
        ("req.payload_lv(0,0) -m found", "payload length must be > 0"),
        ("req.payload_lv(0,9) -m found", "at most 8 bytes"),
        ("req.payload_lv(-1,1) -m found", "payload offset1 must be positive"),
        ("req.payload_lv(0,1,-2) -m found", "payload offset2 too negative"),
        ("req.payload_lv(0,1,x) -m found", "'x' is not a number"),
        ("req.ssl_ver x", "'x' is not a dotted number"),
        ("req.ssl_ver 3.65536", "'3.65536' is not a dotted number"),
        ("req.ssl_ver -m int 3.1", "'3.1' is not a number"),
        ("req.rdp_cookie(a,b) x", r"write req.rdp_cookie\(\[<name>\]\)"),
        ("req.ssl_sni_end x", "fetch method 'req.ssl_sni_end' is unknown"),
    ],
)
def test_a_wrong_word_is_told(words: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(words)
