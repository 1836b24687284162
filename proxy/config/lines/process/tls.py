"""The words of the `global` section about TLS to servers (manual section 3.1).

They are for servers whose lines say nothing else. A word that no check can honour is refused once a
check uses TLS (linking/tls.py), and has no effect before.
"""

from __future__ import annotations

from proxy.config.drafts import GlobalDraft
from proxy.config.lines.shapes import ALONE_LENIENT, ONE, ONE_LENIENT, ArgumentShape, one_of
from proxy.config.lines.table import Handler, Statement, Table, works
from proxy.config.lines.tls import FLAGS, LIMITS, change, set_flag, set_limit
from proxy.config.text.messages import ConfigError

_EXTRA = ("bundle", "sctl", "ocsp", "issuer", "key")
_EXTRA_FILES = ArgumentShape(
    1,
    form=rf"none|all|({'|'.join(_EXTRA)})( ({'|'.join(_EXTRA)}))*",
    expected="'none', 'all', or some of " + ", ".join(f"'{name}'" for name in _EXTRA),
    joined=True,
)
_DEFAULT_FLAGS = tuple(flag for flag in FLAGS if flag != "tls-tickets")


def _base(statement: Statement, _draft: GlobalDraft) -> None:
    """`ca-base` and `crt-base`: the folder of the relative names in the lines behind it."""
    folder = statement.one("a folder")
    bases = statement.context.bases
    if statement.keyword in bases:
        raise ConfigError(f"'{statement.keyword}' already specified")
    bases[statement.keyword] = folder


def _server_verify(statement: Statement, draft: GlobalDraft) -> None:
    change(draft, verify=statement.arguments[0] == "required")


def _default(field: str) -> Handler[GlobalDraft]:
    def handle(statement: Statement, draft: GlobalDraft) -> None:
        change(draft, **{field: statement.one("a list")})

    return handle


def _options(statement: Statement, draft: GlobalDraft) -> None:
    """`ssl-default-server-options`."""
    words = list(statement.arguments)
    if not words:
        raise ConfigError(f"'{statement.keyword}' expects an option")
    while words:
        word = words.pop(0)
        if word in LIMITS and not words:
            raise ConfigError(f"'{statement.keyword}' : '{word}' expects a value")
        if word in LIMITS:
            set_limit(word, words.pop(0), draft)
        elif word in _DEFAULT_FLAGS:
            set_flag(word, draft)
        else:
            known = "', '".join((*_DEFAULT_FLAGS, *LIMITS))
            raise ConfigError(f"'{statement.keyword}' knows the options '{known}', not '{word}'")


def _extra_files(statement: Statement, draft: GlobalDraft) -> None:
    draft.key_beside = bool({"all", "key"} & set(statement.arguments))


def _delete_suffix(_statement: Statement, draft: GlobalDraft) -> None:
    draft.key_replaces_suffix = True


def _refused_with_tls(statement: Statement, draft: GlobalDraft) -> None:
    draft.tls_refused = [*draft.tls_refused, (statement.keyword, statement.origin)]


TLS_WORDS: Table[GlobalDraft] = {
    **dict.fromkeys(("ca-base", "crt-base"), works(_base)),
    "ssl-server-verify": works(_server_verify, shape=one_of("none", "required")),
    "ssl-default-server-options": works(_options),
    "ssl-default-server-ciphers": works(_default("ciphers")),
    "ssl-default-server-ciphersuites": works(_default("suites")),
    "ssl-load-extra-files": works(_extra_files, shape=_EXTRA_FILES),
    "ssl-load-extra-del-ext": works(_delete_suffix, shape=ALONE_LENIENT),
    **dict.fromkeys(
        ("ssl-propquery", "ssl-provider", "ssl-provider-path"),
        works(_refused_with_tls, shape=ONE_LENIENT),
    ),
    **dict.fromkeys(
        (
            *("ssl-default-server-curves", "ssl-default-server-sigalgs"),
            *("ssl-default-server-client-sigalgs", "ssl-security-level", "ssl-engine"),
        ),
        works(_refused_with_tls, shape=ONE),
    ),
}
