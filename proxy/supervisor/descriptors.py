"""How many descriptors a process may have: asked of the kernel before anything is opened.

A worker needs two for each session, so its limit bounds the connections that it accepts.
"""

from __future__ import annotations

import resource

from proxy.config.model import Global
from proxy.supervisor.limits import DESCRIPTORS_DEFAULT_MAX, DESCRIPTORS_RESERVED, PIPES_MAX


class DescriptorLimitError(Exception):
    """The limit that the configuration asks for cannot be had."""


def wanted_descriptors(settings: Global, sockets: int) -> int | None:
    """The limit that the configuration asks for, None without `ulimit-n` and `maxconn`."""
    wanted = settings.ulimit_n
    if wanted is None and settings.maxconn:
        # Any worker may come to hold nearly all of the connections.
        wanted = 2 * settings.maxconn + 2 * PIPES_MAX + DESCRIPTORS_RESERVED + sockets
    if wanted is not None and settings.fd_hard_limit is not None:
        wanted = min(wanted, settings.fd_hard_limit)
    return wanted


def raise_limit(settings: Global, sockets: int) -> None:
    """Set RLIMIT_NOFILE for this process and its children; raises DescriptorLimitError.

    Without a wish it is what the hard limit gives, but no more than a default that costs nothing.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = wanted_descriptors(settings, sockets)
    if wanted is None:
        ceiling = settings.fd_hard_limit or DESCRIPTORS_DEFAULT_MAX
        wanted = max(soft, min(hard, ceiling))
    if settings.ulimit_n is None and wanted <= soft:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    except (OSError, ValueError) as error:
        raise DescriptorLimitError(
            f"Cannot raise FD limit to {wanted}, limit is {hard}."
        ) from error
