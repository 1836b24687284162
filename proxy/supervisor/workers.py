"""How many workers a generation has."""

from __future__ import annotations

from proxy.config.model import Settings
from proxy.supervisor.cores import cores_granted


def worker_count(settings: Settings) -> int:
    """`nbthread`, or one worker for each core that this process is granted."""
    return settings.globals.nbthread or cores_granted()
