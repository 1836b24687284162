"""`spare-backends`: of which `defaults` sections backends can be added at run time, and how many."""

from __future__ import annotations

import pytest

from tests.support.config.loading import settings_of

TCP_CHECK = "    option tcp-check\n    tcp-check connect\n"


@pytest.mark.parametrize(
    ("words", "lines", "spare"),
    [
        ("", "", 4),
        ("    spare-backends 2\n", "", 2),
        ("    spare-backends 0\n", "", 0),
        ("", "    mode http\n", 0),
        ("", "    disabled\n", 0),
        ("", "    balance static-rr\n", 0),
        ("", "    tcp-request content accept\n", 0),
        ("", TCP_CHECK + "    tcp-check send-lf hello\\ %[be_name]\n", 0),
        ("", TCP_CHECK + "    tcp-check send hello\n", 4),
    ],
)
def test_each_named_section_has_so_many(words: str, lines: str, spare: int) -> None:
    text = f"global\n{words}defaults\n    balance roundrobin\ndefaults named\n{lines}"
    proxies = settings_of(text).proxies
    assert [proxy.spare_of for proxy in proxies] == ["named"] * spare
