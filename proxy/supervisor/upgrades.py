"""Other builds on disk, as the supervisor's loop goes by them: before and after the handing over.

Before: a reload that finds another build lets it prove itself, and then hands over (upgrade.py).
After, in the fork that goes on with all there was: the steward's words (steward.py).
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from proxy.builds.installed import another_is_on_disk
from proxy.log_thread import finish_log_threads
from proxy.supervisor.burial import end_behind
from proxy.supervisor.end import End
from proxy.supervisor.faults import explain
from proxy.supervisor.limits import LOG_END_LIMIT_MS, TICK_MS
from proxy.supervisor.reaping import foster
from proxy.supervisor.reload_report import ReloadReport
from proxy.supervisor.steward import MASTER_LEAVES_MS, Orders, Steward
from proxy.supervisor.upgrade import Proof, UpgradeError, part, record_of
from shm.log_level import LogLevel

if TYPE_CHECKING:
    from proxy.supervisor.supervisor import Supervisor

STOPPING = "the program is stopping"
ASK_AGAIN = "another build has just taken over: ask its master"


class Upgrades:
    """What goes on of it; every method is called from the supervisor's loop."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Nothing goes on."""
        self.steward: Steward | None = None
        self._supervisor = supervisor
        self._proof: Proof | None = None
        self._master_leaves_ms: int | None = None

    @property
    def goes_on(self) -> bool:
        """Whether a build proves itself, or another program takes over or has."""
        gives = self.steward is not None and not self.steward.reloads
        return self._proof is not None or gives

    def end_if_handed_over(self) -> None:
        """End the process, if another program serves: all paths are its."""
        if self.steward is not None and self.steward.leaves:
            finish_log_threads(LOG_END_LIMIT_MS / 1_000)
            os._exit(0)

    @property
    def owes(self) -> bool:
        """Whether the master of the former program has answers to send."""
        return self._master_leaves_ms is not None

    def wanted(self) -> bool:
        """Whether a reload has to be an upgrade; a main process that is a stand-in has none.

        Where the files cannot be looked at, what is in memory reloads.
        """
        try:
            return self.steward is None and another_is_on_disk()
        except (OSError, RuntimeError):  # links in a circle, for example
            return False

    def begin(self, now_ms: int) -> None:
        """Let the build on disk show what it can."""
        master, log = self._supervisor, self._supervisor.current.runtime.log
        log(LogLevel.NOTICE, "another build is on disk: it is proved, and takes over then")
        master.notifier.reloading()
        try:
            master.orders.take()
            self._proof = Proof(master.reactor, dict(os.environ), now_ms)
        except Exception as error:
            master.fail_reload([explain(error)])

    def turn(self, now_ms: int) -> None:
        """Everything that time brings."""
        if self._proof is not None and self._supervisor.soft_stop_ms is not None:
            self._proof.end()
            self._proof = None  # no build that knows nothing of the stop takes over
            self._supervisor.fail_reload([STOPPING])
        elif self._proof is not None and (self._proof.done or self._proof.late(now_ms)):
            proof, self._proof = self._proof, None
            try:
                self._part(proof.judge())
            except UpgradeError as error:
                self._supervisor.fail_reload(list(error.args))
            except Exception as error:
                self._supervisor.fail_reload([explain(error)])
        if self.steward is not None:
            self.steward.turn(self._supervisor.current, now_ms)
        if self.owes and self._supervisor.orders.pending:
            self._supervisor.orders.take()
            self._supervisor.orders.refuse(ASK_AGAIN)
        if self._master_leaves_ms is not None and now_ms >= self._master_leaves_ms:
            self._master_leaves_ms = None
            self._supervisor.orders.leave()

    def timeout_ms(self, now_ms: int) -> int:
        """How long nothing will have to be done."""
        if self._proof is not None:
            return self._proof.timeout_ms(now_ms)
        return TICK_MS if self.steward is None else self.steward.timeout_ms()

    def abandon(self) -> None:
        """The program ends: nothing is proved any more."""
        if self._proof is not None:
            proof, self._proof = self._proof, None
            proof.end()
            self._supervisor.orders.refuse(STOPPING)

    def _part(self, layout: str) -> None:
        """Returns as the steward; raises where the kernel does not execute the build."""
        master, builder = self._supervisor, self._supervisor.builder
        record = record_of(
            master.current,
            master.orders.opened,
            master.living(),
            layout=layout,
            begun_ms=builder.begun_ms,
            descriptors=builder.descriptors.given,
        )
        channel = part(record, dict(os.environ))
        try:
            foster()
            builder.reactor.renew()
            master.notifier.leave()
            orders = Orders(
                leave=self._leave,
                stop=lambda now_ms: master.stop(End.TERMINATED, now_ms),
                renewed=self._renewed,
                obey=self._obey,
                stand_alone=self._stand_alone,
            )
            self.steward = Steward(channel, builder.reactor, orders)
        except Exception as error:  # it would be a second supervisor that nobody hears
            master.current.runtime.log(LogLevel.CRIT, f"no steward: {explain(error)}")
            os._exit(1)

    # -- as the steward ---------------------------------------------------------------------------

    def _leave(self, kept: list[int], failed: str, now_ms: int) -> None:
        """A successor serves; `failed`: why it is the former build's."""
        master, current = self._supervisor, self._supervisor.current
        report = ReloadReport(master.builder.main_pid)
        if failed:
            text = f"the upgrade failed, the former build goes on: {failed}"
            report.note(LogLevel.ALERT, text)
        else:
            report.note(LogLevel.NOTICE, "upgrade done: the build on disk serves")
        master.orders.settle(report, succeeded=not failed)
        master.orders.pause()
        self._master_leaves_ms = now_ms + MASTER_LEAVES_MS
        if master.ping is not None:
            ping, master.ping = master.ping, None
            ping.leave(master.reactor)
        held = (item for items in current.sockets.held.values() for item in items)
        gone = [item for item in held if item.socket.fileno() not in kept]
        closing = master.builder.given.closing(gone, current.runtime)
        master.finish_sessions(closing, now_ms)
        for each in (*master.living(), current) if master.orders.hard else ():
            each.stop(now_ms)

    def _renewed(self, newest: int, limit: int, now_ms: int) -> None:
        master = self._supervisor
        end_behind(master.old, newest, limit, master.current.runtime.log, now_ms)

    def _obey(self, number: signal.Signals) -> None:
        self._supervisor.ordered.add(number)

    def _stand_alone(self, failed: str) -> None:
        """No build took over: this program goes on behind the main process."""
        text = f"upgrade failed, the build in memory goes on until the next start: {failed}"
        self._supervisor.fail_reload([text])
