"""A reload: read in a helper child, switch when the new workers are ready, or call it off.

               bytes came, no ALERT          new workers ready
    READING ------------------------> SWITCHING ---------------> DONE: the old ones stop softly
        | ALERT, or no time left          | no time left
        v                                 v
      DONE: nothing changed             DONE: the new ones end, old resolverd and control again

Owns the order of the steps; what they do is in prepare, listening, build and generation.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from proxy.config.messages import Message, Severity
from proxy.config.report import render
from proxy.supervisor.build import Builder, Ground, open_all
from proxy.supervisor.descriptors import DescriptorLimitError
from proxy.supervisor.fork import freeze_memory
from proxy.supervisor.generation import ALERT, NOTICE, WARNING, Generation
from proxy.supervisor.helper import Helper
from proxy.supervisor.limits import FIRST_READY_LIMIT_MS, RELOAD_LIMIT_MS, STARTING_TICK_MS
from proxy.supervisor.listening import BindingError, SocketSet, give_back, vanished
from proxy.supervisor.prepare import Prepared, Previous, decode, encode

LEVELS = {Severity.ALERT: ALERT, Severity.WARNING: WARNING, Severity.NOTICE: NOTICE}
Read = Callable[[Previous], Prepared]


class Step(enum.Enum):
    """Where a reload stands; see the drawing above."""

    READING = "reading"
    SWITCHING = "switching"
    DONE = "done"


class Reload:
    """One reload; `succeeded` and `new` say how it went once `step` is DONE."""

    def __init__(self, old: Generation, read: Read, builder: Builder, now_ms: int) -> None:
        """Start reading; raises OSError when no helper can be forked."""
        previous = Previous(old.runtime.settings, old.runtime.segment)
        self.step = Step.READING
        self.new: Generation | None = None
        self.succeeded = False
        self._old = old
        self._builder = builder
        self._sockets: SocketSet | None = None
        self._deadline_ms = now_ms + RELOAD_LIMIT_MS
        self._helper = Helper(lambda send: send(encode(read(previous))), "millrace: reload")
        builder.reactor.watch(self._helper.descriptor, self._received)

    def turn(self, now_ms: int) -> None:
        """Everything that time brings."""
        if self.step is Step.READING and now_ms >= self._deadline_ms:
            self._finish_reading(now_ms)
        elif self.step is Step.SWITCHING:
            assert self.new is not None
            self.new.turn(now_ms, judge=True)
            if self.new.workers_ready:
                self._switch(now_ms)
            elif self.new.hopeless or now_ms >= self._deadline_ms:
                self._call_off(now_ms, "the new workers did not become ready")

    def timeout_ms(self, now_ms: int) -> int:
        """How long nothing will have to be done."""
        if self.step is Step.SWITCHING:
            return STARTING_TICK_MS
        return max(0, self._deadline_ms - now_ms)

    def abandon(self, now_ms: int) -> None:
        """The program ends: nothing is to be switched any more."""
        if self.step is Step.READING:
            self._builder.reactor.forget(self._helper.descriptor)
            self._helper.end()
        elif self.step is Step.SWITCHING:
            assert self.new is not None
            assert self._sockets is not None
            self.new.stop(now_ms)
            give_back(self._sockets.fresh)
        self.step = Step.DONE

    def _received(self, now_ms: int) -> None:
        if self._helper.receive():
            self._finish_reading(now_ms)

    def _finish_reading(self, now_ms: int) -> None:
        self._builder.reactor.forget(self._helper.descriptor)
        prepared = decode(self._helper.end())
        self._tell(prepared.messages)
        if prepared.settings is None:
            self._fail("the configuration has errors")
            return
        try:
            ground = open_all(prepared.settings, self._old.sockets.held, self._builder.descriptors)
        except DescriptorLimitError as error:
            self._fail(str(error))
            return
        except BindingError as error:
            for line in error.lines:
                self._old.runtime.log(ALERT, line)
            self._fail("not all sockets can be opened")
            return
        for warning in ground.grant.warnings:
            self._old.runtime.log(WARNING, warning)
        self._begin_switch(prepared, ground, now_ms)

    def _begin_switch(self, prepared: Prepared, ground: Ground, now_ms: int) -> None:
        """Only now the old resolverd and control end: their records must hold still."""
        self._sockets = ground.sockets
        self._old.end_services(now_ms)
        self.step = Step.SWITCHING
        self._deadline_ms = now_ms + FIRST_READY_LIMIT_MS
        try:
            self.new = self._builder.build(prepared, ground, now_ms, self._old)
        except OSError as error:
            self._call_off(now_ms, f"no memory or descriptors for it ({error.strerror})")
            return
        freeze_memory()
        self.new.turn(now_ms, judge=True)

    def _switch(self, now_ms: int) -> None:
        assert self.new is not None
        self.step = Step.DONE
        self.succeeded = True
        self._old.soft_stop(vanished(self._old.sockets.held, self.new.sockets.held), now_ms)
        number = self.new.runtime.segment.reload_generation
        self.new.runtime.log(NOTICE, f"reload done: generation {number} serves")

    def _call_off(self, now_ms: int, reason: str) -> None:
        if self.new is not None:
            self.new.stop(now_ms)
        assert self._sockets is not None
        give_back(self._sockets.fresh)
        self._old.revive_services(now_ms)
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        self.step = Step.DONE
        self._old.runtime.log(ALERT, f"reload failed, nothing changed: {reason}")

    def _tell(self, messages: tuple[Message, ...]) -> None:
        """To the log, each as it would stand on a terminal but for its tag."""
        for message in messages:
            if message.severity in LEVELS:
                text = render(message, self._builder.main_pid).partition(" : ")[2]
                self._old.runtime.log(LEVELS[message.severity], text)
