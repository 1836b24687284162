"""The nameservers of /etc/resolv.conf, as `parse-resolv-conf` wants them (dns: resolv.conf(5)).

Owns the one word that counts here, `nameserver`. Reads the file once.
"""

from __future__ import annotations

import ipaddress

from proxy.config.messages import ConfigError

BYTES_MAX = 1 << 20


def read_nameservers(path: str) -> list[str]:
    """The addresses in the order of the file, each once; ConfigError if it cannot be read."""
    try:
        with open(path, "rb") as stream:
            text = stream.read(BYTES_MAX).decode(errors="replace")
    except OSError as error:
        raise ConfigError(f"'parse-resolv-conf' cannot read {path}: {error.strerror}") from error
    found: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address = str(ipaddress.ip_address(words[1]))
        except ValueError:
            continue  # libc skips it, too
        if address not in found:
            found.append(address)
    return found
