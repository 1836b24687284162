"""The words of a redirect: of `redirect` and of `http-request redirect` (manual section 4.2)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from proxy.config.lines.rules.condition import BEGINNINGS
from proxy.config.model.http import Redirect, RedirectKind
from proxy.config.text.messages import ConfigError

STATUSES = ("301", "302", "303", "307", "308")
_KINDS = {kind.value: kind for kind in RedirectKind}
_Change = Callable[[Redirect], Redirect]
_FLAGS: dict[str, _Change] = {
    "drop-query": lambda known: msgspec.structs.replace(known, drop_query=True),
    "append-slash": lambda known: msgspec.structs.replace(known, append_slash=True),
    "ignore-empty": lambda known: known,  # an address without formats is never empty
}
_COOKIES = {"set-cookie": "{}; path=/;", "clear-cookie": "{}; path=/; Max-Age=0;"}


def redirect_of(words: tuple[str, ...]) -> tuple[Redirect, tuple[str, ...]]:
    """The redirect, and the words of its condition; raises ConfigError."""
    found = Redirect(RedirectKind.LOCATION, "")
    while words and words[0] not in BEGINNINGS:
        word, words = words[0], words[1:]
        if word in _FLAGS:
            found = _FLAGS[word](found)
            continue
        if word != "code" and word not in _KINDS and word not in _COOKIES:
            expected = "', '".join(("code", *_KINDS, *_COOKIES, *_FLAGS))
            raise ConfigError(f"redirect rule : expects '{expected}' (was '{word}')")
        if not words or not words[0]:
            raise ConfigError(f"redirect rule : missing argument for '{word}'")
        found, words = _with(found, word, words[0]), words[1:]
    if not found.value:
        raise ConfigError(
            "redirect rule : redirection type expected ('prefix', 'location', or 'scheme')"
        )
    return found, words


def _with(known: Redirect, word: str, value: str) -> Redirect:
    if "%" in value.replace("%%", ""):
        raise ConfigError(f"redirect rule : a format ('%') in '{word}' is not supported yet")
    value = value.replace("%%", "%")
    if word == "code":
        if value not in STATUSES:
            raise ConfigError(
                f"redirect rule : unsupported HTTP code '{value}' (must be one of "
                f"{', '.join(STATUSES)})"
            )
        return msgspec.structs.replace(known, status=int(value))
    if word in _COOKIES:
        return msgspec.structs.replace(known, cookie=_COOKIES[word].format(value))
    return msgspec.structs.replace(known, kind=_KINDS[word], value=value)
