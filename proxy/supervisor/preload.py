"""Imports everything that children need, before they are forked and perhaps change their root.

Inside a chroot nothing can be imported any more, and codecs are imported on first use. All is
imported by the supervisor, once: what is forked later is of the same version, and shares it. At a
start workers come first: what control, resolverd and the runner need is imported when these are
forked, while clients are served already. What is imported after the start, here and for a reload,
is refused where files have changed meanwhile: no process runs two builds mixed.
"""

from __future__ import annotations

import codecs
import gc
import importlib
import sys

import msgspec

from proxy import patterns
from proxy.builds.installed import of_one_build
from proxy.config.model.rules import Converter
from proxy.config.model.settings import Settings
from proxy.health.dialect import dialects
from proxy.lists import regex
from proxy.runtime import Runtime
from proxy.supervisor.memory import share_memory

MODULES = (
    "uvloop",
    "proxy.worker.process",
)
SERVICES = {  # beside workers
    "control": ("proxy.control.process",),
    "resolverd": ("resolverd.daemon", "proxy.members.kept", "proxy.members.resolved"),
    "runner": ("proxy.runner.process",),
}
MASTER = "proxy.master.process"
CODECS = ("ascii", "idna", "latin-1", "punycode", "utf-8")


def preload_for(settings: Settings) -> None:
    """Import what only this generation's workers need; raises ImportError, OtherBuildError."""
    with of_one_build():
        _preload_for(settings)


def _preload_for(settings: Settings) -> None:
    for proxy in settings.proxies:
        if proxy.check_rules is not None:
            dialects.load(proxy.check_rules)
    if any(proxy.check_rules and proxy.check_rules.has_patterns for proxy in settings.proxies):
        patterns.load()
    if any(map(regex.has_regexes, settings.lists)) or any(
        _substitutes((proxy.rules, proxy.http, proxy.check_rules)) for proxy in settings.proxies
    ):
        regex.load()
    if settings.tls_contexts:
        importlib.import_module("proxy.health.tls_stream")


def preload_service(name: str, runtime: Runtime) -> None:
    """Import what this other process of the generation needs.

    Raises ImportError, OtherBuildError.
    """
    for module in SERVICES[name]:
        _load(module)
    if name == "control" and runtime.service_sockets:
        _load("proxy.control.http.serving")


def _load(module: str) -> None:
    """Import it, if it is not there: children share it as what came before the first fork."""
    if sys.modules.get(module) is not None:
        return
    gc.disable()
    try:
        with of_one_build():
            importlib.import_module(module)
    finally:
        share_memory()


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
    """Import what each worker needs; raises ImportError when the installation is incomplete."""
    for module in MODULES:
        importlib.import_module(module)
    for codec in CODECS:
        codecs.lookup(codec)
