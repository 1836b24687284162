"""Forms for orders, where the configuration lets the reader give them (`stats admin`).

The fields are HAProxy's: `b` the backend by `#id`, `s` its servers, `action`. Beside them a token
that this process made, so that no other site can make a browser give an order.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Sequence
from html import escape
from urllib.parse import parse_qsl

from proxy.config.model.settings import Proxy, Server
from proxy.control.page.subject import PageMoment

ACTIONS = {
    "ready": "ready: takes sessions",
    "drain": "drain: finishes those it has",
    "maint": "maint: out",
    "dhlth": "suspend health checks",
    "ehlth": "resume health checks",
}
TOKEN_SECONDS = 3_600
SERVERS_OFFERED_MAX = 200
FIELDS_MAX = 300


class Tokens:
    """Makes and judges tokens; those of another process of control are void."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def make(self, uri: str) -> str:
        """A token for orders on this page."""
        until = int(time.time()) + TOKEN_SECONDS
        return f"{until}.{self._digest(uri, until)}"

    def holds(self, uri: str, token: str) -> bool:
        """Whether a token is one of these, and not too old."""
        text, _, digest = token.partition(".")
        if not text.isascii() or not text.isdecimal() or len(text) > 12:
            return False
        until = int(text)
        known = hmac.compare_digest(self._digest(uri, until).encode(), digest.encode())
        return known and until >= time.time()

    def _digest(self, uri: str, until: int) -> str:
        return hmac.digest(self._key, f"{until} {uri}".encode(errors="replace"), "sha256").hex()


def fields_of(body: bytes) -> dict[str, list[str]]:
    """The fields of a form; raises ValueError for too many."""
    found: dict[str, list[str]] = {}
    text = body.decode("latin-1")
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX):
        found.setdefault(name, []).append(value)
    return found


def order_form(moment: PageMoment, proxy: Proxy, servers: Sequence[Server]) -> str:
    """The form for some servers of a backend."""
    view = moment.view
    action = view.link(page=view.page)
    offered = servers[:SERVERS_OFFERED_MAX]
    options = "".join(
        f'<option value="{escape(server.name)}">{escape(server.name)}</option>'
        for server in offered
    )
    chosen = (
        f'<input type="hidden" name="s" value="{escape(offered[0].name)}">'
        if len(offered) == 1
        else f'<label>Servers <select name="s" multiple size="{min(6, len(offered))}">{options}'
        "</select></label>"
    )
    if not offered:
        return ""
    buttons = "".join(
        f'<button name="action" value="{key}">{text}</button>' for key, text in ACTIONS.items()
    )
    return (
        f"<h2>Orders <small><code>set server {escape(proxy.name)}/NAME state ...</code></small>"
        f'</h2>\n<form method="post" action="{action}">{chosen}'
        f'<input type="hidden" name="b" value="#{proxy.id}">'
        f'<input type="hidden" name="token" value="{moment.token}">{buttons}</form>\n'
    )
