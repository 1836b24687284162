"""`email-alert` (manual section 4.2): no mail is sent, and a section that wants some is told."""

from __future__ import annotations

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.log import LEVELS
from proxy.config.lines.shapes import AT_MOST_TWO
from proxy.config.lines.table import Statement, Word, works
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint

INSTEAD = (
    "no mail is sent: alert from the metrics (deploy/prometheus has rules), or from the log, which "
    "has each change of a server's state"
)
_WORDS = ("from", "level", "mailers", "myhostname", "to")


def _email_alert(statement: Statement, _draft: ProxyDraft) -> None:
    if not statement.arguments:
        raise ConfigError("missing argument after 'email-alert'.")
    word, value = (*statement.arguments, "")[:2]
    if word not in _WORDS:
        raise ConfigError(f"email-alert: unknown argument '{word}'{hint(word, _WORDS)}")
    if word == "level" and value not in LEVELS:
        raise ConfigError(f"email-alert: unknown log level '{value}'{hint(value, LEVELS)}")
    if word == "mailers":  # without this one HAProxy sends none either
        statement.warn(f"'email-alert mailers {value}' is ignored: {INSTEAD}")


EMAIL_ALERT: Word[ProxyDraft] = works(_email_alert, shape=AT_MOST_TWO)
