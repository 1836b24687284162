"""The resolv.conf that resolverd follows, its folders opened while the supervisor may see them."""

from __future__ import annotations

import os
from pathlib import Path

from proxy.config.model.settings import Settings
from resolverd.config import LinkedFile
from resolverd.resolv_conf.linked_file import find_folders


def open_resolv_conf(settings: Settings) -> LinkedFile | None:
    """The file of `parse-resolv-conf`, one for all sections; None where no section follows it."""
    for section in settings.resolverd.sections:
        if section.followed is not None:
            written = Path(section.followed.path)
            path = str(written.parent.resolve() / written.name)
            return LinkedFile(path, find_folders(path), settings.globals.chroot is not None)
    return None


def close_resolv_conf(file: LinkedFile | None) -> None:
    """Close the folders."""
    for _, folder in file.folders if file is not None else ():
        os.close(folder)
