"""Imports everything that children need, before they are forked and perhaps change their root.

dnspython imports a record type when it first meets it: inside a chroot that fails silently, and an
SRV record is parsed as opaque data. Codecs are imported on first use, too.
"""

from __future__ import annotations

import codecs
import importlib

MODULES = (
    "uvloop",
    "proxy.control.process",
    "proxy.worker.process",
    "resolverd.daemon",
    "dns.rdtypes.ANY.CNAME",
    "dns.rdtypes.ANY.DNAME",
    "dns.rdtypes.ANY.NS",
    "dns.rdtypes.ANY.OPT",
    "dns.rdtypes.ANY.PTR",
    "dns.rdtypes.ANY.RRSIG",
    "dns.rdtypes.ANY.SOA",
    "dns.rdtypes.ANY.TXT",
    "dns.rdtypes.IN.A",
    "dns.rdtypes.IN.AAAA",
    "dns.rdtypes.IN.SRV",
)
CODECS = ("ascii", "idna", "latin-1", "punycode", "utf-8")


def preload() -> None:
    """Import it all; raises ImportError when the installation is incomplete."""
    for module in MODULES:
        importlib.import_module(module)
    for codec in CODECS:
        codecs.lookup(codec)
