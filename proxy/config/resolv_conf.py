"""The file that `parse-resolv-conf` names, read into a `resolvers` section (S4, M13).

Owns the reading; what the lines mean is resolverd's, which reads the file again while it runs.
"""

from __future__ import annotations

from proxy.config.drafts import ResolversDraft
from proxy.config.messages import ConfigError
from proxy.config.model import Origin
from resolverd.config import Nameserver
from resolverd.resolv_conf import BYTES_MAX, ResolvConf, parse_resolv_conf


def read_resolv_conf(path: str) -> ResolvConf:
    """What the file says; ConfigError if it cannot be read."""
    try:
        with open(path, "rb") as stream:
            text = stream.read(BYTES_MAX).decode(errors="replace")
    except OSError as error:
        raise ConfigError(f"'parse-resolv-conf' cannot read {path}: {error.strerror}") from error
    return parse_resolv_conf(text)


def nameservers_of(found: ResolvConf, draft: ResolversDraft) -> list[Nameserver]:
    """Those of the file that the section does not name itself; an address is a name here."""
    known = {nameserver.name for nameserver, _ in draft.nameservers}
    return [Nameserver(each, each) for each in found.nameservers if each not in known]


def take_default(draft: ResolversDraft, path: str, origin: Origin) -> None:
    """Fill the section `default`, which nobody wrote; ConfigError as above."""
    found = read_resolv_conf(path)
    draft.resolv_conf = found
    draft.nameservers = [(each, origin) for each in nameservers_of(found, draft)]
