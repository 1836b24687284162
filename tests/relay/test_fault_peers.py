"""At each call that the relay makes, a peer sends urgent data, FIN or RST: nothing idles or is lost.

After an early FIN everything sent before it arrives, and the whole answer still comes back. After
an RST the other side sees a prefix and an end. Urgent bytes themselves may arrive or not; the bytes
around them must.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.relay.conversation import BOTH_WAYS, DOWNLOAD, EXCHANGE, Conversation, Scenario
from tests.support.relay.fault_relay import FaultyRelay
from tests.support.relay.faults import Action, Kind

pytestmark = pytest.mark.slow


ACTS: dict[str, Callable[[Conversation], None]] = {
    "urgent data of the client": lambda talk: talk.client.urgent(),
    "urgent data of the server": lambda talk: talk.server.urgent(),
    "FIN of the client": lambda talk: talk.client.finish_early(),
    "FIN of the server": lambda talk: talk.server.finish_early(),
    "RST of the client": lambda talk: talk.abort(talk.client),
    "RST of the server": lambda talk: talk.abort(talk.server),
}
CALLS = [
    *(
        (EXCHANGE, kind)
        for kind in Kind
        if kind not in (Kind.PIPE, Kind.MEMORY, Kind.SPLICE_IN, Kind.SPLICE_OUT)
    ),
    *(
        (scenario, kind)
        for scenario in (DOWNLOAD, BOTH_WAYS)
        for kind in (Kind.RECV, Kind.SEND, Kind.SPLICE_IN, Kind.SPLICE_OUT, Kind.EPOLL_WAIT)
    ),
]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    ("scenario", "kind"), CALLS, ids=lambda value: str(getattr(value, "name", value)).lower()
)
def test_a_peer_acts_before_a_call(
    faulty: FaultyRelay, scenario: Scenario, kind: Kind, act: str
) -> None:
    fired = faulty.at_each_call(scenario, kind, Action.PEER, peer=ACTS[act])
    assert fired > 0, "no such call was made"


@pytest.mark.parametrize("scenario", [EXCHANGE, DOWNLOAD], ids=lambda scenario: scenario.name)
def test_all_of_it_at_once(faulty: FaultyRelay, scenario: Scenario) -> None:
    """Urgent data of both sides before every receive of a conversation with tiny buffers."""

    def both(talk: Conversation) -> None:
        talk.client.urgent()
        talk.server.urgent()

    faulty.shim.set(buffer_bytes=4_096, events_max=1)
    fired = faulty.at_each_call(scenario, Kind.RECV, Action.PEER, peer=both)
    assert fired > 0
