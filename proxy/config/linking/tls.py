"""The TLS of health checks: words of lines and defaults to contexts.

Owns the table of contexts, the rules of versions, and the errors about what is missing or does not
fit. A server whose checks never use TLS is not looked at, as in HAProxy; each context is tried, so
that what OpenSSL refuses is an error of the line.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from proxy import tls
from proxy.config.drafts import GlobalDraft, ProxyDraft
from proxy.config.lines.tls import VERSIONS
from proxy.config.model.checks import HttpCheck, tls_protocols
from proxy.config.model.tls import CheckTls, TlsContext, TlsWords
from proxy.config.server_drafts import ServerDraft
from proxy.config.text.messages import ConfigError, Messages
from proxy.config.text.pem import has_key, read_bytes

NO_AUTHORITIES = (
    "verify is enabled by default but no CA file specified. If you're running on a LAN where "
    "you're certain to trust the server's certificate, please set an explicit 'verify none' "
    "statement on the 'server' line, or use 'ssl-server-verify none' in the global section to "
    "disable server-side verifications by default."
)
SUITES = ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256")
_OFFERED = tuple(VERSIONS.values())[1:]  # OpenSSL has no SSLv3 any more
_LOWEST, _HIGHEST = "MINIMUM_SUPPORTED", "MAXIMUM_SUPPORTED"
Tell = Callable[[str], None]


def uses_tls(draft: ProxyDraft, server: ServerDraft) -> bool:
    """Whether a connection of the server's checks may be encrypted."""
    return server.options.check_ssl or tls_protocols(draft.check_rules) is not None


class TlsTable:
    """The contexts of one configuration, each once."""

    def __init__(self, globals_draft: GlobalDraft, *, verify: bool) -> None:
        """`verify`: servers are verified where neither line nor global section says otherwise."""
        self._globals = globals_draft
        self._verify = verify
        self._used = False
        self._rows: dict[TlsContext, int] = {}
        self._tried: dict[TlsContext, ConfigError | None] = {}
        self._certificates: dict[str, bytes] = {}  # by path

    @property
    def contexts(self) -> tuple[TlsContext, ...]:
        """All of them, by row."""
        return tuple(self._rows)

    def check(self, draft: ProxyDraft, server: ServerDraft, messages: Messages) -> None:
        """Add a message for what is wrong with the TLS of one server's checks."""
        if not uses_tls(draft, server):
            return
        self._used = True
        described = f"server {draft.name}/{server.name}"

        def warn(text: str) -> None:
            messages.warning(f"'{described}' : {text}", server.origin)

        try:
            own = _own_protocols(server)
            for protocols in dict.fromkeys((own, *_of_rules(draft, server).values())):
                self._check_protocols(draft, protocols)
                self._try(self._context(server, protocols, warn if protocols is own else _ignore))
        except ConfigError as error:
            messages.alert(f"'{described}' : {error}", server.origin)

    def check_globals(self, messages: Messages) -> None:
        """Refuse the words of the global section that checks over TLS would have to honour."""
        for word, origin in self._globals.tls_refused:
            if self._used:
                messages.alert(f"'{word}' is not supported with checks over TLS: remove it", origin)
            else:
                messages.notice(f"'{word}' has no effect here: no check uses TLS", origin)

    def build(self, draft: ProxyDraft, server: ServerDraft) -> CheckTls | None:
        """The TLS of one server's checks, with its rows of the table; None without any."""
        if not uses_tls(draft, server):
            return None
        words = server.options.tls
        return CheckTls(
            self._row(server, _own_protocols(server)),
            by_line=server.options.check_ssl,
            sni=words.sni,
            verify_host=words.verify_host,
            contexts=tuple(
                (written, self._row(server, protocols))
                for written, protocols in _of_rules(draft, server).items()
            ),
        )

    def _row(self, server: ServerDraft, protocols: str | None) -> int:
        context = self._context(server, protocols, _ignore)
        return self._rows.setdefault(context, len(self._rows))

    def _check_protocols(self, draft: ProxyDraft, protocols: str | None) -> None:
        """HAProxy speaks HTTP/2 in a check where that is negotiated."""
        if isinstance(draft.check_rules, HttpCheck) and "h2" in (protocols or "").split(","):
            raise ConfigError(
                "checks of 'option httpchk' speak HTTP/1: ALPN 'h2' is not supported with it, "
                "write 'check-alpn http/1.1' on the line, or 'alpn http/1.1' in the rule"
            )

    def _try(self, context: TlsContext) -> None:
        """Raise a ConfigError where OpenSSL refuses a context; each is tried once."""
        if context not in self._tried:
            self._tried[context] = _refusal(context)
        refusal = self._tried[context]
        if refusal is not None:
            raise refusal

    def _context(self, server: ServerDraft, protocols: str | None, warn: Tell) -> TlsContext:
        """The context of a server; raises ConfigError."""
        words, defaults = server.options.tls, self._globals.tls
        verify = _first(words.verify, defaults.verify, self._verify)
        if verify and words.authorities is None:
            raise ConfigError(NO_AUTHORITIES)
        _check_suites(words.suites or defaults.suites)
        return TlsContext(
            verify=verify,
            authorities=words.authorities.content if verify and words.authorities else b"",
            revoked=words.revoked.content if verify and words.revoked else b"",
            certificate=self._certificate(words.certificate) if words.certificate else b"",
            versions=_versions(words, defaults, warn),
            ciphers=words.ciphers or defaults.ciphers or "DEFAULT",
            tickets=_first(words.tickets, defaults.tickets, True),
            alpn=tuple(protocols.split(",")) if protocols else (),
        )

    def _certificate(self, path: str) -> bytes:
        """Certificate, chain and key; raises ConfigError."""
        if path not in self._certificates:
            self._certificates[path] = self._read_certificate(path)
        return self._certificates[path]

    def _read_certificate(self, path: str) -> bytes:
        try:
            content = read_bytes(path)
        except OSError as error:
            reason = error.strerror
            text = f"unable to read the SSL certificate from file '{path}' : {reason}"
            raise ConfigError(text) from error
        if b"-----BEGIN CERTIFICATE-----" not in content:
            raise ConfigError(f"unable to load certificate from file '{path}'.")
        if has_key(content):
            return content
        replaces = self._globals.key_replaces_suffix and path.endswith(".crt")
        beside = (path.removesuffix(".crt") if replaces else path) + ".key"
        key = b""
        if self._globals.key_beside:
            with suppress(OSError):  # it need not be there
                key = read_bytes(beside)
        if not has_key(key):
            raise ConfigError(f"No Private Key found in '{beside}'.")
        return content.rstrip(b"\n") + b"\n" + key


def _refusal(context: TlsContext) -> ConfigError | None:
    try:
        tls.make_context(context)
    except ImportError as error:
        return ConfigError(f"checks over TLS take Python's module ssl: {error}")
    except tls.TlsError as error:
        texts = {
            "ciphers": f"unable to set SSL cipher list to '{context.ciphers}'",
            "authorities": f"unable to load the certificates of 'ca-file' ({error})",
            "revoked": f"unable to load the lists of 'crl-file' ({error})",
            "certificate": f"unable to load certificate and key of 'crt' ({error})",
        }
        return ConfigError(texts.get(error.part, str(error)))
    return None


def _ignore(_text: str) -> None:
    """It was said before."""


def _own_protocols(server: ServerDraft) -> str | None:
    words = server.options.tls
    return words.check_alpn or words.alpn


def _of_rules(draft: ProxyDraft, server: ServerDraft) -> dict[str, str | None]:
    """What rules offer that connect by TLS: by what they say, and "" for one that says nothing.

    That one takes `alpn` of the line, and not `check-alpn`.
    """
    written = tls_protocols(draft.check_rules)
    if written is None:
        return {}
    words = server.options.tls
    silent: dict[str, str | None] = {"": words.alpn} if words.check_alpn else {}
    return silent | {each: each for each in written}


def _first(*values: bool | None) -> bool:
    return next(value for value in values if value is not None)


def _check_suites(text: str | None) -> None:
    """Raise a ConfigError where TLS 1.3 is to be spoken with other suites than all of them."""
    if text is None or set(text.split(":")) == set(SUITES):
        return  # their order is the server's matter
    raise ConfigError(
        f"TLS 1.3 cipher suites '{text}' are not supported: checks offer {':'.join(SUITES)}, "
        "write these or none"
    )


def _versions(words: TlsWords, defaults: TlsWords, warn: Tell) -> tuple[str, str]:
    """The lowest and the highest version; raises ConfigError where none is left."""
    lowest, highest = words.lowest or defaults.lowest, words.highest or defaults.highest
    excluded = words.excluded | defaults.excluded
    if lowest or highest:
        if excluded:
            warn(
                "no-sslv3/no-tlsv1x are ignored for this server. Use only 'ssl-min-ver' and "
                "'ssl-max-ver' to fix."
            )
        order = ("SSLv3", *_OFFERED)
        first = order.index(lowest) if lowest else 0
        last = order.index(highest) if highest else len(order) - 1
        allowed = [version for version in order[first : last + 1] if version in _OFFERED]
    else:
        allowed = [version for version in _OFFERED if version not in excluded]
    if not allowed:
        raise ConfigError("all SSL/TLS versions are disabled for this server.")
    first, last = _OFFERED.index(allowed[0]), _OFFERED.index(allowed[-1])
    for missing in _OFFERED[first:last]:
        if missing not in allowed:
            warn(
                f"SSL/TLS versions range not contiguous: there is a hole for {missing}, which is "
                "offered all the same. Use only 'ssl-min-ver' and 'ssl-max-ver' to fix."
            )
    return (
        _LOWEST if first == 0 else allowed[0],
        _HIGHEST if last == len(_OFFERED) - 1 else allowed[-1],
    )
