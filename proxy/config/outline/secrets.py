"""Lines without what only the files may say: passwords, credentials, what checks log in with.

What is hidden is rather too much than too little: values of variables are hidden wherever a line
sets one, and what checks send.
"""

from __future__ import annotations

import re
from itertools import pairwise

from proxy.config.text.sources import SourceLine

HIDDEN = "*****"
_AFTER = {  # the words behind which one word is a secret
    *("password", "insecure-password", "agent-send", "body", "body-lf", "cluster-secret"),
}
_SENT = ("send", "send-lf", "send-binary", "send-binary-lf")  # of tcp-check
_VARIABLES = ("setenv", "presetenv")
_NAMED = re.compile(  # in a header, a cookie, a query
    r"(?i)\b([\w-]*(?:authorization|cookie|password|passwd|secret|token|credential|api-?key)[\w-]*)"
    r"(\s*[:=]\s*)([^\r\n&]+)"
)
_SAID = re.compile(r"\b((?:insecure-)?password |agent-send |stats auth [^\s:]*:|setenv \S+ )\S+")
_SECRET_NAME = re.compile(r"(?i)authorization|cookie|passw|secret|token|credential|key|auth")
_FETCHED = re.compile(  # what a client says of itself in secret, or a variable that has it
    r"(?i)(?:hdr|cook|url_?param|urlp|var)\w*\([^)]*(?:authori|passw|secret|token|credential|key)"
)
_ENDS = ("}", "if", "unless", "||", "or")  # of the patterns of a condition
_IN_URL = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")


def without_secrets(line: SourceLine) -> SourceLine:
    """The line with HIDDEN in place of each secret; the same object where there is none."""
    words = hide(line.words)
    return line if words == line.words else SourceLine(line.origin, words)


def hide(words: tuple[str, ...]) -> tuple[str, ...]:
    """Words of one line, likewise."""
    shown = [_IN_URL.sub(rf"\g<1>{HIDDEN}@", _NAMED.sub(rf"\1\2{HIDDEN}", word)) for word in words]
    for number, (before, _) in enumerate(pairwise(words), 1):
        if before in _AFTER:
            shown[number] = HIDDEN
    _hide_values(words, shown)
    if words[0] in _VARIABLES:
        shown[2:] = [HIDDEN for _ in shown[2:]]
    elif words[:2] == ("stats", "auth") and len(words) > 2:
        shown[2] = f"{words[2].partition(':')[0]}:{HIDDEN}"
    elif words[0] == "tcp-check" and words[1:2] and words[1] in _SENT:
        shown[2:3] = [HIDDEN for _ in shown[2:3]]
    elif words[0] in ("http-check", "http-request", "http-response", "http-after-response"):
        _hide_headers(words, shown)
    return tuple(shown)


def _hide_values(words: tuple[str, ...], shown: list[str]) -> None:
    """What such a fetch is compared with, or such a variable is set to."""
    hiding = False
    for number, word in enumerate(words):
        named = word.startswith(("proc.", "txn.", "sess.")) and _SECRET_NAME.search(word)
        if _FETCHED.search(word) or (named and words[number - 1].startswith("set-var")):
            hiding = True
        elif word in _ENDS:
            hiding = False
        elif hiding and word[:1] != "-" and words[number - 1] not in ("-m", "-f", "-M"):
            shown[number] = HIDDEN


def hide_in_text(text: str) -> str:
    """A text that may repeat lines or orders, likewise."""
    lines = _SAID.sub(rf"\1{HIDDEN}", text).split("\n")
    return "\n".join(" ".join(hide(tuple(line.split(" ")))) for line in lines)


def _hide_headers(words: tuple[str, ...], shown: list[str]) -> None:
    """Values of headers whose names say that they are secret: `hdr <name> <value>`."""
    for number, word in enumerate(words[:-2]):
        header = word in ("hdr", "add-header", "set-header", "replace-header")
        if header and _SECRET_NAME.search(words[number + 1]):
            shown[number + 2] = HIDDEN
