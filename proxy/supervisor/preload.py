"""Imports everything that children need, before they are forked and perhaps change their root.

Inside a chroot nothing can be imported any more, and codecs are imported on first use.
"""

from __future__ import annotations

import codecs
import importlib

import msgspec

from proxy import patterns
from proxy.config.model.rules import Converter
from proxy.lists import regex
from proxy.runtime import Runtime

MODULES = (
    "uvloop",
    "proxy.control.process",
    "proxy.worker.process",
)
MASTER = "proxy.master.process"
CODECS = ("ascii", "idna", "latin-1", "punycode", "utf-8")


def preload_for(runtime: Runtime) -> None:
    """Import what only this generation needs; raises ImportError."""
    settings = runtime.settings
    if runtime.has_resolverd:
        importlib.import_module("resolverd.daemon")
    if runtime.service_sockets:
        importlib.import_module("proxy.control.http.serving")
    if any(proxy.check_rules and proxy.check_rules.has_patterns for proxy in settings.proxies):
        patterns.load()
    if any(map(regex.has_regexes, settings.lists)) or any(
        _substitutes((proxy.rules, proxy.http, proxy.check_rules)) for proxy in settings.proxies
    ):
        regex.load()
    if runtime.servers.has_programs:
        importlib.import_module("proxy.runner.process")
    if settings.tls_contexts:
        importlib.import_module("proxy.health.tls_stream")


def _substitutes(part: object) -> bool:
    """Whether a converter in a part of the settings takes a regular expression."""
    if isinstance(part, Converter):
        return part.name == "regsub"
    if isinstance(part, msgspec.Struct):
        return any(_substitutes(getattr(part, name)) for name in part.__struct_fields__)
    return isinstance(part, tuple) and any(map(_substitutes, part))


def preload_master() -> None:
    """Import what the master CLI needs; raises ImportError."""
    importlib.import_module(MASTER)


def preload() -> None:
    """Import it all; raises ImportError when the installation is incomplete."""
    for module in MODULES:
        importlib.import_module(module)
    for codec in CODECS:
        codecs.lookup(codec)
