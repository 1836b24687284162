"""`spare-servers`: how many slots backends have for servers that are added at run time."""

from __future__ import annotations

from proxy.server_table import ServerTable
from tests.support.config.loading import load_text, settings_of


def test_backends_with_dynamic_algorithms_share_spare_slots() -> None:
    backends = (
        "backend a\n    timeout connect 1s\n    timeout server 1s\n    server s 127.0.0.1:1\n"
        "backend b\n    balance static-rr\n    timeout connect 1s\n    timeout server 1s\n"
        "    server s 127.0.0.1:1\n"
        "backend c\n    balance leastconn\n    timeout connect 1s\n    timeout server 1s\n"
        "    server-template s 3 127.0.0.1:1\n"
    )
    for words, spare in (("", 512), ("    spare-servers 7\n", 7), ("    spare-servers 0\n", 0)):
        settings = settings_of(f"global\n{words}{backends}")
        assert [(p.first_slot, p.spare_slots) for p in settings.backends] == [
            (0, spare),
            (1 + spare, 0),
            (2 + spare, spare),
        ]
        assert ServerTable(settings).capacity == 5 + 2 * spare
    outcome = load_text(f"global\n    spare-servers 50000\n{backends}")
    assert "with 5 servers these would be over 100000" in outcome.messages[0].text
