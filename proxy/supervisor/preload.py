"""Imports everything that children need, before they are forked and perhaps change their root.

Inside a chroot nothing can be imported any more, and codecs are imported on first use.
"""

from __future__ import annotations

import codecs
import importlib

MODULES = (
    "uvloop",
    "proxy.control.process",
    "proxy.worker.process",
    "resolverd.daemon",
)
CODECS = ("ascii", "idna", "latin-1", "punycode", "utf-8")


def preload() -> None:
    """Import it all; raises ImportError when the installation is incomplete."""
    for module in MODULES:
        importlib.import_module(module)
    for codec in CODECS:
        codecs.lookup(codec)
