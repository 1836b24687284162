"""How many workers a generation has."""

from __future__ import annotations

from proxy.config.model.settings import Settings
from proxy.supervisor.cores import cores_granted
from shm.shape import WORKERS_MAX


def worker_count(settings: Settings) -> int:
    """`nbthread`, or one worker for each core that this process is granted."""
    return settings.globals.nbthread or min(cores_granted(), WORKERS_MAX)
