"""The file that `parse-resolv-conf` names, read into a `resolvers` section (S4, M13).

Owns the reading; what the lines mean is resolverd's, which reads the file again while it runs.
"""

from __future__ import annotations

from proxy.config.drafts import ResolversDraft
from proxy.config.model.settings import Origin
from proxy.config.text.messages import ConfigError
from resolverd.config import FOLLOWED_MAX, Nameserver
from resolverd.resolv_conf.file import BYTES_MAX, ResolvConf, parse_resolv_conf


def read_resolv_conf(path: str) -> ResolvConf:
    """What the file says; ConfigError if it cannot be read."""
    try:
        with open(path, "rb") as stream:
            text = stream.read(BYTES_MAX).decode(errors="replace")
    except OSError as error:
        raise ConfigError(f"'parse-resolv-conf' cannot read {path}: {error.strerror}") from error
    return parse_resolv_conf(text)


def take_resolv_conf(draft: ResolversDraft, path: str, origin: Origin) -> ResolvConf:
    """Let a section follow the file; ConfigError as above.

    An address is a nameserver's name here; one that the section names itself is not taken.
    """
    found = read_resolv_conf(path)
    known = {nameserver.name for nameserver, _ in draft.nameservers}
    new = [each for each in found.nameservers if each not in known][:FOLLOWED_MAX]
    draft.nameservers = [*draft.nameservers, *((Nameserver(each, each), origin) for each in new)]
    draft.followed |= frozenset(new)
    draft.resolv_conf, draft.resolv_conf_path = found, path
    return found
