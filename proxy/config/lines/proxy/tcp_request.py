"""`tcp-request` lines (manual section 4.2): rules for connections before they are forwarded.

Owns the words after `tcp-request`. Conditions need ACLs, which are not supported yet.
"""

from __future__ import annotations

from proxy.config.drafts import ProxyDraft, ProxyKind
from proxy.config.lines.table import Statement
from proxy.config.text.messages import ConfigError


def tcp_request(statement: Statement, draft: ProxyDraft) -> None:
    """`tcp-request connection expect-proxy layer4`: as `accept-proxy` on each `bind` line."""
    words = statement.arguments
    if words[:2] != ("connection", "expect-proxy"):
        described = " ".join(("tcp-request", *words[:2]))
        raise ConfigError(f"'{described}' is not supported yet")
    if draft.kind is ProxyKind.DEFAULTS:
        raise ConfigError("'tcp-request' not allowed in 'defaults' section")
    if not draft.kind.accepts:
        raise ConfigError(f"'tcp-request connection' is not allowed: {draft.title} has no clients")
    layer = words[2] if len(words) > 2 else ""
    if layer != "layer4":
        raise ConfigError(
            f"'tcp-request connection expect-proxy' only supports 'layer4' in {draft.title} "
            f"(got '{layer}')"
        )
    if len(words) > 3:
        raise ConfigError(
            f"'{words[3]}' behind 'tcp-request connection expect-proxy layer4' is not supported "
            "yet: write 'accept-proxy' on the 'bind' lines of the trusted proxies"
        )
    draft.expect_proxy = True
