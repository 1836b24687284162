"""Valid names: of sections and servers, and of hosts in DNS (RFC 1035 section 2.3.4).

Owns the characters and lengths. Pure.
"""

from __future__ import annotations

import re

from proxy.config.text.messages import ConfigError

LABEL_MAX = 63  # RFC 1035 section 2.3.4
NAME_MAX = 255  # bytes on the wire, RFC 1035 section 2.3.4

_SECTION_NAME = re.compile(r"[A-Za-z0-9_:.-]+")
_HOST_LABEL = re.compile(r"[a-z0-9_-]+")


def check_label(name: str, what: str) -> str:
    """The name of a section, server or nameserver; ConfigError for other characters."""
    match = _SECTION_NAME.match(name)
    end = match.end() if match else 0
    if end < len(name):
        raise ConfigError(f"character '{name[end]}' is not permitted in {what} name '{name}'")
    if not name:
        raise ConfigError(f"{what} name is empty")
    return name


def normalize_host_name(name: str) -> str:
    """A host name in lower case, without the dot at its end.

    ConfigError for empty or long labels, long names and other characters than those of host names.
    """
    normal = name.removesuffix(".").lower()
    if len(normal) + 2 > NAME_MAX:  # a length byte in front, the root behind
        raise ConfigError(f"host name '{name}' is too long (at most {NAME_MAX} bytes)")
    for label in normal.split("."):
        if not label:
            raise ConfigError(f"host name '{name}' has an empty label")
        if len(label) > LABEL_MAX:
            raise ConfigError(f"label '{label}' of '{name}' is longer than {LABEL_MAX}")
        if not _HOST_LABEL.fullmatch(label):
            raise ConfigError(f"host name '{name}' has a character outside A-Z, a-z, 0-9, - and _")
    return normal


def is_service_name(name: str) -> bool:
    """True for an SRV label: a name that begins with `_`."""
    return name.startswith("_")
