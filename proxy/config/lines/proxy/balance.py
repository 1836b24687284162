"""`balance`, `hash-type` and `hash-balance-factor` of a backend (manual section 4.2).

Owns the names of algorithms and of hash functions, and their arguments. The relay implements them.
A function of `hash-type` hashes what `balance hash` and `balance rdp-cookie` find; the client's
address is a number already, so a function has no effect there, as in HAProxy.
"""

from __future__ import annotations

from proxy.config.drafts import ProxyDraft, Side
from proxy.config.lines.http import HTTP_BALANCE, HTTP_BALANCES, forget, note
from proxy.config.lines.proxy.actions.persistence import RDP, hash_cookie, hash_value
from proxy.config.lines.shapes import AT_MOST_ONE, ArgumentShape
from proxy.config.lines.table import Statement, Table, works
from proxy.config.model.settings import RANDOM_DRAWS_DEFAULT, Balance
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint

DRAWS_MAX = 256  # each draw reads one server; instead of more use leastconn
FACTOR_MAX = 10_000  # percent: a hundred times the average
_FACTOR_OFF = 100  # with a limit up to the average no server could take another session

_BALANCES: dict[str, Balance] = {balance.value: balance for balance in Balance}
_UNSUPPORTED = {
    "log-hash": "it distributes logs, which Millrace does not forward; use 'balance source'",
    "sticky": "it distributes logs, which Millrace does not forward; use 'balance first'",
}
_HTTP_BALANCE_SHAPES = {
    "uri": ArgumentShape(1, before=1, options={"len": 1, "depth": 1, "path-only": 0, "whole": 0}),
    "url_param": ArgumentShape(
        2, before=2, expected="a name", options={"check_post": 0, "max_wait": 1}
    ),
    "hdr": ArgumentShape(1, before=1, options={"use_domain_only": 0}),
}
_FUNCTIONS = ("sdbm", "djb2", "wt6", "crc32", "none")
_MODIFIERS = ("avalanche",)
_METHODS = ("map-based", "consistent")


def _balance(statement: Statement, draft: ProxyDraft) -> None:
    forget(draft, "'balance'")
    draft.rules = draft.rules.with_only("hashes")
    if not statement.arguments:  # HAProxy's default algorithm
        draft.balance = Balance.ROUNDROBIN
        return
    text = statement.words[1]
    name, parenthesis, argument = text.partition("(")
    if name in HTTP_BALANCES:
        draft.balance = Balance.ROUNDROBIN
        _HTTP_BALANCE_SHAPES[name].fitting(statement.arguments, f"'balance {text}'")
        note(statement, draft, "'balance'", HTTP_BALANCE, side=Side.BACK)
        return
    if text.startswith(RDP):
        hash_cookie(statement, draft)
        statement.pass_over(1, "'balance'")
        draft.balance = Balance.RDP_COOKIE
        return
    if text == Balance.HASH.value:
        hash_value(statement, draft)
        draft.balance = Balance.HASH
        return
    if name in _UNSUPPORTED:
        raise ConfigError(f"'balance {name}' is not supported: {_UNSUPPORTED[name]}")
    if name not in _BALANCES or (parenthesis and name != Balance.RANDOM.value):
        known = (*_BALANCES, *_UNSUPPORTED, *HTTP_BALANCES)
        raise ConfigError(
            f"unknown balance algorithm '{text}'{hint(name, known)}; "
            f"Millrace knows {', '.join(_BALANCES)}"
        )
    statement.pass_over(1, "'balance'")
    draft.balance = _BALANCES[name]
    draft.random_draws = _draws(argument) if parenthesis else RANDOM_DRAWS_DEFAULT


def _draws(text: str) -> int:
    """The number in `random(<draws>)`; `text` follows the opening parenthesis."""
    inside, parenthesis, rest = text.partition(")")
    if not parenthesis:
        raise ConfigError("balance random : missing closing parenthesis")
    if rest or not ((inside.isascii() and inside.isdigit()) or inside == ""):
        stray = rest or inside
        raise ConfigError(f"balance random : unexpected character '{stray[0]}' after argument")
    if inside == "":
        return RANDOM_DRAWS_DEFAULT
    draws = int(inside) if len(inside) < len(str(DRAWS_MAX)) + 1 else DRAWS_MAX + 1
    if draws < 1:
        raise ConfigError("balance random : number of draws must be at least 1")
    if draws > DRAWS_MAX:
        raise ConfigError(
            f"balance random : at most {DRAWS_MAX} draws (leastconn finds the least loaded server)"
        )
    return draws


def _hash_type(statement: Statement, draft: ProxyDraft) -> None:
    """`hash-type <method> [<function> [avalanche]]`; `consistent` alone implies avalanche."""
    words = statement.arguments
    if not words or words[0] not in _METHODS:
        text = words[0] if words else ""
        suggestion = hint(text, _METHODS) if text else ""
        raise ConfigError(f"'hash-type' only supports 'consistent' and 'map-based'{suggestion}")
    if len(words) > 1 and words[1] not in _FUNCTIONS:
        raise ConfigError(
            "'hash-type' only supports 'sdbm', 'djb2', 'crc32', 'wt6' and 'none' hash functions"
            f"{hint(words[1], _FUNCTIONS)}"
        )
    if len(words) > 2 and words[2] not in _MODIFIERS:
        raise ConfigError(
            "'hash-type' only supports 'avalanche' as a modifier for hash functions"
            f"{hint(words[2], _MODIFIERS)}"
        )
    draft.hash_consistent = words[0] == "consistent"
    draft.hash_function = words[1] if len(words) > 1 else _FUNCTIONS[0]
    draft.hash_avalanche = len(words) > 2 or (draft.hash_consistent and len(words) == 1)


def _hash_balance_factor(statement: Statement, draft: ProxyDraft) -> None:
    factor = statement.number(0, FACTOR_MAX)
    if 0 < factor <= _FACTOR_OFF:
        raise ConfigError("'hash-balance-factor' must be 0 or greater than 100")
    draft.hash_balance_factor = factor


BALANCE_WORDS: Table[ProxyDraft] = {
    "balance": works(_balance),
    "hash-type": works(_hash_type, shape=ArgumentShape(most=3, lenient=True)),
    "hash-balance-factor": works(_hash_balance_factor, shape=AT_MOST_ONE),
}
