"""The resolv.conf of `parse-resolv-conf`, read into a `resolvers` section (S4, M13).

Owns the reading; the syntax is in resolverd/resolv_conf, which reads the file again while running.
"""

from __future__ import annotations

from proxy.config.drafts import ResolversDraft
from proxy.config.model.settings import Origin
from proxy.config.text.messages import ConfigError, Messages
from resolverd.config import FOLLOWED_MAX, Nameserver
from resolverd.resolv_conf.file import BYTES_MAX, ResolvConf, parse_resolv_conf, skipped_lines


def read_resolv_conf(path: str) -> ResolvConf:
    """The content of the file; ConfigError if it cannot be read."""
    return parse_resolv_conf(_read(path))


def _read(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            return stream.read(BYTES_MAX).decode(errors="replace")
    except OSError as error:
        raise ConfigError(f"'parse-resolv-conf' cannot read {path}: {error.strerror}") from error


def take_resolv_conf(
    draft: ResolversDraft, path: str, origin: Origin, messages: Messages
) -> ResolvConf:
    """Add the file's nameservers to a section, which follows the file; ConfigError as above.

    The name of such a nameserver is its address; one with the name of another line is left out.
    What is skipped of the file is warned of.
    """
    text = _read(path)
    for number, told in skipped_lines(text):
        messages.warning(f"parsing [{path}:{number}] : {told}", origin)
    found = parse_resolv_conf(text)
    known = {nameserver.name for nameserver, _ in draft.nameservers}
    new = [each for each in found.nameservers if each not in known][:FOLLOWED_MAX]
    draft.nameservers = [*draft.nameservers, *((Nameserver(each, each), origin) for each in new)]
    draft.followed |= frozenset(new)
    draft.resolv_conf, draft.resolv_conf_path = found, path
    return found
