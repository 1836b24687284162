"""`email-alert` (manual section 4.2): no mail is sent, and a section that wants some is told.

`check_email_alerts` has HAProxy's verdicts about what is missing for a mail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.log import LEVELS
from proxy.config.lines.shapes import AT_MOST_TWO
from proxy.config.lines.table import Statement, Word, works
from proxy.config.model.settings import Origin
from proxy.config.text.messages import ConfigError, Messages
from proxy.config.text.suggest import NameIndex, hint

INSTEAD = (
    "no mail is sent: alert from the metrics (deploy/prometheus has rules), or from the log, which "
    "has each change of a server's state"
)
_WORDS = ("from", "level", "mailers", "myhostname", "to")
_NEEDED = frozenset({"from", "mailers", "to"})


def _email_alert(statement: Statement, draft: ProxyDraft) -> None:
    if not statement.arguments:
        raise ConfigError("missing argument after 'email-alert'.")
    word, value = (*statement.arguments, "")[:2]
    if word not in _WORDS:
        raise ConfigError(f"email-alert: unknown argument '{word}'{hint(word, _WORDS)}")
    if word == "level" and value not in LEVELS:
        raise ConfigError(f"email-alert: unknown log level '{value}'{hint(value, LEVELS)}")
    draft.email_alert = {**draft.email_alert, word: value}
    if word == "mailers":  # without this one HAProxy sends none either
        statement.warn(f"'email-alert mailers {value}' is ignored: {INSTEAD}")


EMAIL_ALERT: Word[ProxyDraft] = works(_email_alert, shape=AT_MOST_TWO)


def check_email_alerts(
    proxies: Sequence[ProxyDraft], mailers: Mapping[str, Origin], messages: Messages
) -> None:
    """Add a message for each section that could send no mail, and for each unused `mailers`."""
    used: set[str] = set()
    names = NameIndex(mailers)
    for draft in proxies:
        if draft.disabled or not draft.email_alert:
            continue
        if not draft.email_alert.keys() >= _NEEDED:
            messages.warning(
                f"'email-alert' will be ignored for {draft.title} (it requires each of "
                "'email-alert from', 'email-alert mailers' and 'email-alert to' to be present)",
                draft.origin,
            )
            continue
        name = draft.email_alert["mailers"]
        used.add(name)
        if name not in mailers:
            text = f"Proxy '{draft.name}': unable to find mailers '{name}'{names.hint(name)}"
            messages.alert(text, draft.origin)
    for name, origin in mailers.items():
        if name not in used:
            text = f"section 'mailers {name}' is not used: no section has all words of a mail"
            messages.warning(text, origin)
