"""How many descriptors the children of a generation may have: asked of the kernel before it is.

The supervisor itself takes all that the hard limit gives, because it holds the sockets of all
generations; each generation's children get what its file asks for.
"""

from __future__ import annotations

import resource

import msgspec

from proxy.capacity import DESCRIPTORS_DEFAULT_MAX, capacity, descriptors_needed
from proxy.config.model.settings import Global, Settings


class DescriptorLimitError(Exception):
    """There are fewer descriptors than the configuration asks for."""


class Grant(msgspec.Struct, frozen=True):
    """The limit of the children, and what must be said of it (under `no strict-limits`)."""

    descriptors: int
    warnings: tuple[str, ...] = ()


class Descriptors:
    """The limits that the program was started with, and what may be had beyond them."""

    def __init__(self, given: int | None = None) -> None:
        """Take all that the hard limit gives, for this process; `given`: a former one had."""
        limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.given = limit if given is None else given
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def grant(self, settings: Settings, workers: int, sockets: int) -> Grant:
        """The limit for children that inherit so many sockets; raises DescriptorLimitError.

        `sockets` are all that the supervisor will hold for them. A limit that cannot be had is an
        error only under `strict-limits`, which is the default; to have room for no session is one.
        """
        words = settings.globals
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        wanted = self._wanted(settings, workers, sockets, hard)
        warnings = []
        possible = _bounded(wanted, words)
        if possible > hard and not _raised(possible):
            possible = hard
        if possible < wanted:
            warnings.append(f"Cannot raise FD limit to {wanted}, limit is {possible}.")
        room = capacity(settings, workers, sockets, possible)
        if room.sessions == 0:
            least = descriptors_needed(settings, workers, sockets, 1)
            raise DescriptorLimitError(
                f"FD limit ({possible}) leaves no room for sessions beside {sockets} listening "
                f"sockets. Please raise 'ulimit-n' to {least} or more."
            )
        if room.sessions < words.maxconn:
            needed = descriptors_needed(settings, workers, sockets, words.maxconn)
            warnings.append(
                f"FD limit ({possible}) too low for maxconn {words.maxconn} with {sockets} "
                f"listening sockets: room for {room.sessions} sessions in each of {workers} "
                f"workers. Please raise 'ulimit-n' to {needed} or more to avoid any trouble, "
                "or lower 'maxconn'."
            )
        if warnings and words.strict_limits:
            raise DescriptorLimitError(" ".join(warnings))
        return Grant(possible, tuple(warnings))

    def _wanted(self, settings: Settings, workers: int, sockets: int, hard: int) -> int:
        """`ulimit-n`, or what `maxconn` needs, or what the hard limit gives, within reason."""
        words = settings.globals
        if words.ulimit_n is not None:
            return words.ulimit_n
        given = _bounded(self.given, words)
        if words.maxconn:
            # Any worker may come to hold nearly all of the connections.
            needed = descriptors_needed(settings, workers, sockets, words.maxconn)
            return max(given, needed)
        return max(given, min(hard, words.fd_hard_limit or DESCRIPTORS_DEFAULT_MAX))


def _bounded(descriptors: int, words: Global) -> int:
    """No more than `fd-hard-limit`."""
    return min(descriptors, words.fd_hard_limit or descriptors)


def _raised(descriptors: int) -> bool:
    """Whether the kernel lets this process raise its hard limit so far."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    except (OSError, ValueError):
        return False
    return True
