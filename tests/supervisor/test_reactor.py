"""The supervisor's reactor: a callback that raises rests, and takes no descriptor of another."""

from __future__ import annotations

import os

from proxy.supervisor.faults import Faults
from proxy.supervisor.reactor import Reactor


def test_a_callback_that_raises_leaves_a_descriptor_alone_that_got_its_number() -> None:
    """As where a child has ended, and the fork of its successor was followed by an error."""
    faults = Faults()
    faults.log = lambda _level, _text: None
    reactor = Reactor(lambda: 0, faults)
    called: list[str] = []
    first, first_writer = os.pipe()
    pipes: list[int] = [first_writer]

    def ended(_now_ms: int) -> None:
        called.append("ended")
        reactor.forget(first)
        os.close(first)
        second, second_writer = os.pipe()
        pipes.extend((second, second_writer))
        assert second == first
        reactor.watch(second, lambda _now_ms: called.append("successor"))
        os.write(second_writer, b"?")
        raise ValueError("after that")

    reactor.watch(first, ended)
    os.write(first_writer, b"?")
    reactor.wait(1_000)
    reactor.wait(1_000)
    assert called == ["ended", "successor"]
    reactor.close()
    for descriptor in pipes:
        os.close(descriptor)
