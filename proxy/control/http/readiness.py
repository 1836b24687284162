"""`/ready`: whether new clients may be sent here, for load balancers and Kubernetes.

Ready is a program of which a worker serves, until SIGUSR1: from the signal on it is not, also
during `grace`, in which clients are accepted still. How the servers are is no matter here: for that
there are `monitor fail` and the metrics.
"""

from __future__ import annotations

from http import HTTPStatus

from proxy.control.http.connection import Response, plain
from proxy.control.limits import READY_BEAT_MS
from proxy.runtime import Runtime
from shm.processes import ProcessBoard
from shm.states import ProcessState

PATH = "/ready"


class Readiness:
    """Looks at the process records of one generation."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._board = ProcessBoard(runtime.segment)

    def response(self, now_ms: int) -> Response:
        """200, or 503 with the reason."""
        if self._runtime.segment.stopping_ms:
            return plain(HTTPStatus.SERVICE_UNAVAILABLE, "stopping\n")
        if not any(self._serves(worker, now_ms) for worker in range(self._runtime.workers)):
            return plain(HTTPStatus.SERVICE_UNAVAILABLE, "no worker serves\n")
        return plain(HTTPStatus.OK, "ready\n")

    def _serves(self, worker: int, now_ms: int) -> bool:
        status = self._board.status(worker)
        beat_ms = min(status.main_beat_ms, status.relay_beat_ms)
        return status.state == ProcessState.READY and now_ms - beat_ms < READY_BEAT_MS
