"""What was heard about a name is kept for the nameservers that are asked, and for no former one."""

from __future__ import annotations

import msgspec

from resolverd.config import Nameserver
from resolverd.dns.answer import Answer, QueryType, Status
from tests.resolverd.test_core import World, section
from tests.support.dns.resolution import resolution_settings, servers


def test_what_former_nameservers_said_is_forgotten() -> None:
    first = section()
    world = World(resolution_settings(servers(1)), of=(first,))
    world.core.answered(0, "ns1", QueryType.A, Answer(Status.NX), world.now_ms)
    for number in range(2, 9):
        nameserver = Nameserver(f"ns{number}", f"127.0.0.{number}", index=number)
        world.core.follow(msgspec.structs.replace(first, nameservers=(nameserver,)))
        world.core.answered(0, nameserver.name, QueryType.A, Answer(Status.NX), world.now_ms)
        late = f"ns{number - 1}"  # what it was asked before is still open
        world.core.answered(0, late, QueryType.A, Answer(Status.NX), world.now_ms)
        assert [name for name, _ in world.core.names[0].history.answers] == [nameserver.name]
