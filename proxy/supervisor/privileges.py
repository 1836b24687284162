"""What a child gives up before it runs: root directory, groups, user. The order matters."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from proxy.config.model.settings import Global


class PrivilegeError(Exception):
    """A privilege cannot be dropped as configured; the text says which."""


class Privileges(msgspec.Struct, frozen=True):
    """As which user a child runs (`user`, `group`, `uid`, `gid`, `chroot`); None: unchanged."""

    uid: int | None = None
    gid: int | None = None
    chroot: str | None = None

    @classmethod
    def of(cls, settings: Global) -> Privileges:
        """What the global section asks for."""
        return cls(settings.uid, settings.gid, settings.chroot)

    @property
    def any(self) -> bool:
        """True when dropping changes anything."""
        return self.chroot is not None or self._changes_user

    @property
    def _changes_user(self) -> bool:
        return self.uid not in (None, os.geteuid()) or self.gid not in (None, os.getegid())

    def drop(self) -> None:
        """Apply to this process; raises PrivilegeError. chroot needs root, so it comes first."""
        changes_user = self._changes_user
        if self.chroot is not None:
            with _naming(f"cannot chroot to '{self.chroot}'"):
                os.chroot(self.chroot)
                os.chdir("/")
        if changes_user and os.geteuid() == 0:
            with _naming("cannot drop supplementary groups"):
                os.setgroups([])
        if self.gid is not None and self.gid != os.getegid():
            with _naming(f"cannot set gid {self.gid}"):
                os.setgid(self.gid)
        if self.uid is not None and self.uid != os.geteuid():
            with _naming(f"cannot set uid {self.uid}"):
                os.setuid(self.uid)


UNCHANGED = Privileges()


@contextmanager
def _naming(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PrivilegeError(f"{what}: {error.strerror}") from error
