"""The words of a server line about TLS (manual section 5.2): what health checks use of them.

Sessions to servers are not encrypted, so `ssl` itself is refused, and words for sessions alone have
no effect. What the words mean together is known when sections are linked (linking/tls.py).
"""

from __future__ import annotations

from proxy.config.lines.handlers import flag
from proxy.config.lines.shapes import ArgumentShape
from proxy.config.lines.table import (
    Handler,
    Statement,
    Table,
    Word,
    unsupported,
    without_effect,
    works,
)
from proxy.config.lines.tls import (
    FLAGS,
    LIMITS,
    change,
    protocols,
    server_name,
    version_flag,
    version_limit,
)
from proxy.config.server_drafts import ServerOptions
from proxy.config.text.messages import ConfigError
from proxy.config.text.pem import SYSTEM, full_path, read_authorities

PROXY_V2_TLS = frozenset({"ssl", "cert-cn", "ssl-cipher", "cert-sig", "cert-key"})
_EXPRESSION = r"[a-z][a-z0-9_.]*(\(.*\))?(,[a-z][a-z0-9_.]*(\(.*\))?)*"


def _verify(statement: Statement, options: ServerOptions) -> None:
    method = statement.one("'none' or 'required'")
    if method not in ("none", "required"):
        raise ConfigError(
            f"'verify' : unknown verify method '{method}', only 'none' and 'required' are supported"
        )
    change(options, verify=method == "required")


def _ca_file(statement: Statement, options: ServerOptions) -> None:
    written = statement.one("a file with certificates")
    path = written
    if written != SYSTEM:
        path = full_path(written, "ca-base", statement.context, statement.origin)
    change(options, authorities=read_authorities(path, statement.context, statement.origin))


def _crl_file(statement: Statement, options: ServerOptions) -> None:
    written = statement.one("a file with revoked certificates")
    path = full_path(written, "ca-base", statement.context, statement.origin)
    change(options, revoked=read_authorities(path, statement.context, statement.origin))


def _crt(statement: Statement, options: ServerOptions) -> None:
    written = statement.one("a file with a certificate")
    change(
        options,
        certificate=full_path(written, "crt-base", statement.context, statement.origin),
    )


def _check_sni(statement: Statement, options: ServerOptions) -> None:
    change(options, sni=server_name(statement.one("a host name"), "check-sni"))


def _alpn(field: str) -> Handler[ServerOptions]:
    def handle(statement: Statement, options: ServerOptions) -> None:
        text = statement.one("the comma-delimited ALPN protocol suite")
        change(options, **{field: protocols(text, statement.keyword)})

    return handle


def _text(field: str, what: str) -> Handler[ServerOptions]:
    def handle(statement: Statement, options: ServerOptions) -> None:
        change(options, **{field: statement.one(what)})

    return handle


def _no_verifyhost(statement: Statement, options: ServerOptions) -> None:
    statement.at_most(0)
    change(options, verify_host=None)


def _header(*fields: str, sent: bool) -> Handler[ServerOptions]:
    """A PROXY header with fields about the client's TLS, or none with them."""

    def handle(statement: Statement, options: ServerOptions) -> None:
        statement.at_most(0)
        options.send_proxy_v2 = sent
        known = options.proxy_v2_fields
        options.proxy_v2_fields = known.union(fields) if sent else known.difference(fields)

    return handle


_NEW_SESSIONS: Word[ServerOptions] = without_effect(
    "each check makes a new handshake", shape=ArgumentShape(most=0)
)

TLS_OPTIONS: Table[ServerOptions] = {
    "check-ssl": works(flag("check_ssl")),
    "no-check-ssl": works(flag("check_ssl", False)),
    "verify": works(_verify),
    "verifyhost": works(_text("verify_host", "a host name")),
    "no-verifyhost": works(_no_verifyhost),
    "ca-file": works(_ca_file),
    "crl-file": works(_crl_file),
    "crt": works(_crt),
    "check-sni": works(_check_sni),
    "check-alpn": works(_alpn("check_alpn")),
    "alpn": works(_alpn("alpn")),
    "ciphers": works(_text("ciphers", "a list of ciphers")),
    "ciphersuites": works(_text("suites", "a list of cipher suites")),
    **dict.fromkeys(FLAGS, works(version_flag)),
    **dict.fromkeys(LIMITS, works(version_limit)),
    **dict.fromkeys(("ssl-reuse", "no-ssl-reuse"), _NEW_SESSIONS),
    "allow-0rtt": without_effect("checks send no early data", shape=ArgumentShape(most=0)),
    "sni": without_effect(
        "sessions to servers are without TLS; checks take 'check-sni'",
        shape=ArgumentShape(1, 1, form=_EXPRESSION, expected="an expression such as str(name)"),
    ),
    "no-ssl": without_effect("sessions to servers are without TLS anyway"),
    "ssl": unsupported(
        "Millrace forwards TCP without opening it; let the client's TLS pass, or use a TLS relay; "
        "'check-ssl' encrypts the health checks"
    ),
    "send-proxy-v2-ssl": works(_header("ssl", sent=True)),
    "send-proxy-v2-ssl-cn": works(_header("ssl", "cert-cn", sent=True)),
    "no-send-proxy-v2-ssl": works(_header("ssl", sent=False)),
    "no-send-proxy-v2-ssl-cn": works(_header("ssl", "cert-cn", sent=False)),
    "npn": unsupported("write 'alpn'"),
    **dict.fromkeys(("curves", "sigalgs", "client-sigalgs"), unsupported("remove it")),
}
TLS_ALONE = frozenset(
    {
        *FLAGS,
        *("check-ssl", "no-check-ssl", "no-verifyhost", "ssl", "no-ssl", "allow-0rtt"),
        *("ssl-reuse", "no-ssl-reuse", "send-proxy-v2-ssl", "send-proxy-v2-ssl-cn"),
        *("no-send-proxy-v2-ssl", "no-send-proxy-v2-ssl-cn"),
    }
)
