"""The texts of resolverd's log lines, in HAProxy 3.x's words where it has the line. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from resolverd.assignment.servers_left import Loss
from resolverd.config import ResolvedServer, ResolversSection
from resolverd.dns.answer import Address, Status
from shm.log_level import Lines, LogLevel
from shm.states import Cause

FROM_ADDITIONAL = "DNS additional record"  # sources of an address other than a nameserver
FROM_CACHE = "DNS cache"

_REASONS = {
    Cause.NO_RECORD: "No IP for server ",
    Cause.NX: "DNS NX status",
    Cause.TIMEOUT: "DNS timeout status",
    Cause.REFUSED: "DNS refused status",
    Cause.REMOVED: "entry removed from SRV record",
}

ADVISED_MS = (30_000, 60_000, 120_000, 300_000)  # values of `hold obsolete` to recommend

LISTED_MAX = 4  # records of an answer in one line


def describe_loss(server: ResolvedServer, cause: Cause, loss: Loss) -> Lines:
    """The lines about a server that has lost its address."""
    kind = "Backup Server" if loss.backup else "Server"
    name = f"{kind} {server.backend_name}/{server.server_name}"
    reason = _REASONS.get(cause, "unspecified DNS error")
    if loss.was_down:
        return [(LogLevel.NOTICE, f"{name} was DOWN and now enters maintenance ({reason}).")]
    on_backup = " Running on backup." if not loss.active_left and loss.backup_left else ""
    left = f"{loss.active_left} active and {loss.backup_left} backup servers left.{on_backup}"
    tail = f"{left} {loss.sessions} sessions active, 0 requeued, 0 remaining in queue."
    return [(LogLevel.ALERT, f"{name} is going DOWN for maintenance ({reason}). {tail}")]


def describe_failure(title: str, status: Status, kept_s: float, hold: str) -> str:
    """The line about a failed name whose servers keep their addresses for a hold."""
    words = status.name.lower().replace("_", " ")
    return (
        f"No valid answer for {title}: {words}. Its servers keep their addresses for {kept_s:.1f} "
        f"s ({hold})."
    )


def describe_unresolved(title: str, status: Status, servers: int) -> str:
    """The line about a name without a valid answer since resolverd began to ask for it."""
    words = status.name.lower().replace("_", " ")
    return f"No valid answer for {title} yet: {words}. None of {servers} servers has an address."


def describe_silence(section: str, nameserver: str, attempts: int) -> str:
    """The line about a nameserver that has left so many attempts in a row unanswered."""
    return (
        f"Nameserver {section}/{nameserver} has answered none of the last {attempts} attempts: no "
        "name waits for it while another answers."
    )


def describe_cut(title: str, held: int, kept_s: float) -> str:
    """The line about a cut answer that could not be completed over TCP."""
    return (
        f"The answer for {title} was cut and could not be completed over TCP: it held {held} "
        "records, which confirm and add; servers of others are kept for "
        f"{kept_s:.1f} s after the last answer that had them."
    )


def describe_unusable(title: str, records: int, servers: int) -> str:
    """The line about valid answers that give no server an address."""
    return (
        f"Valid answers for {title} bring {records} records, but none of {servers} servers has an "
        "address (`show resolution` tells why)."
    )


def describe_empty(server: ResolvedServer) -> Lines:
    """The line about a backend whose last server is gone."""
    name = f"{server.backend_kind} {server.backend_name}"
    return [(LogLevel.EMERG, f"{name} has no server available!")]


def describe_address(
    server: ResolvedServer, before: Address | None, after: Address, source: str
) -> str:
    """The line about a server that has got an address; `source` is `resolvers/nameserver`."""
    name = f"{server.backend_name}/{server.server_name}"
    former = "(none)" if before is None else before.text
    return f"{name}: IP changed from '{former}' to '{after.text}' by '{source}'."


def describe_return(server: ResolvedServer, fqdn: str, source: str) -> Lines:
    """The lines about a server that had no address before."""
    name = f"{server.backend_name}/{server.server_name}"
    lines = [(LogLevel.NOTICE, f"Server {name} ('{fqdn}') is UP/READY (resolves again).")]
    if source != FROM_ADDITIONAL:
        lines.append(
            (LogLevel.NOTICE, f"Server {name} administratively READY thanks to valid DNS answer.")
        )
    return lines


def describe_plain(section: str, nameserver: str) -> tuple[LogLevel, str]:
    """The line about a nameserver that does not take the OPT record of EDNS."""
    text = "refuses questions with EDNS and answers without: it is asked without, 512 bytes at most"
    return LogLevel.NOTICE, f"nameserver {section}/{nameserver} {text} a reply over UDP."


def describe_refused(nameserver: str, name: str, address: Address) -> tuple[LogLevel, str]:
    """The line about an address that no server can have."""
    text = (
        f"nameserver {nameserver} answers {address.text} for '{name}': no server can have such an "
        "address, it is left out. A resolver that blocks names answers so. (Told once of each "
        "nameserver; `show resolvers` counts them as unusable.)"
    )
    return LogLevel.WARNING, text


def describe_views(name: str, section: str, said: Mapping[str, frozenset[str]]) -> str:
    """The line about two nameservers between whose answers the servers of a name alternate."""
    (one, ones), (other, others) = sorted(said.items())
    return (
        f"Nameservers {section}/{one} and {section}/{other} do not agree about '{name}', whose "
        f"servers change with whoever answers first: {one} says {_listed(ones, others)}, {other} "
        f"says {_listed(others, ones)}."
    )


def _listed(said: frozenset[str], others: frozenset[str]) -> str:
    """At most LISTED_MAX of the records, first those that `others` lacks."""
    texts = sorted(said - others) + sorted(said & others)
    more = f" and {len(texts) - LISTED_MAX} more" if len(texts) > LISTED_MAX else ""
    return ", ".join(texts[:LISTED_MAX]) + more


def describe_doubt(nameserver: str, name: str) -> tuple[LogLevel, str]:
    """The line about replies that match no question, as if forged."""
    text = (
        f"nameserver {nameserver}: ten replies that match no question came while '{name}' was "
        "asked for, as if somebody guessed: such questions are asked over TCP. (Told once of each "
        "nameserver; `show resolvers` counts them as doubted.)"
    )
    return LogLevel.WARNING, text


def describe_surplus(name: str, records: int, missing: int) -> Lines:
    """The line about `missing` surplus records, or that no record is surplus any more."""
    if missing:
        return [(LogLevel.NOTICE, f"{missing} of {records} records of '{name}' have no server.")]
    return [(LogLevel.NOTICE, f"All records of '{name}' have a server again.")]


def describe_came_back(
    name: str, record: str, unseen_ms: int, obsolete_ms: int, section: str
) -> Lines:
    """The line about a record that left and came back, with an advised `hold obsolete`.

    It is the first of ADVISED_MS that is at least twice as long as the record was unseen.
    """
    advised_ms = next((ms for ms in ADVISED_MS if ms >= 2 * unseen_ms), ADVISED_MS[-1])
    return [
        (
            LogLevel.WARNING,
            f"Record '{record}' of '{name}' left and came back: answers were without it for "
            f"{unseen_ms / 1000:.1f}s, and 'hold obsolete' is {time_text(obsolete_ms)}. If answers "
            f"do not always hold all records, set 'hold obsolete {time_text(advised_ms)}' in "
            f"resolvers '{section}'.",
        )
    ]


def time_text(milliseconds: int) -> str:
    """A time with its unit, as in the configuration."""
    if milliseconds % 1000:
        return f"{milliseconds}ms"
    return f"{milliseconds // 1000}s"


def describe_search(name: str, found: str, section: str) -> Lines:
    """The line about a short name: the name of the search list that was answered."""
    return [
        (LogLevel.NOTICE, f"'{name}' is found as '{found}' (search list of resolvers '{section}').")
    ]


def describe_followed(path: str, before: ResolversSection, after: ResolversSection) -> Lines:
    """The line about the changes of a resolv.conf."""
    was = [each.name for each in before.nameservers]
    now = [each.name for each in after.nameservers]
    news = [f"nameserver {each} is new" for each in now if each not in was]
    news += [f"nameserver {each} is gone" for each in was if each not in now]
    if before.search != after.search:
        news.append(f"search list '{' '.join(each or '.' for each in after.search)}'")
    if before.ndots != after.ndots:
        news.append(f"ndots {after.ndots}")
    if not news:
        return []
    return [(LogLevel.NOTICE, f"resolvers '{after.name}': {path} has changed: {', '.join(news)}.")]


def describe_unasked(path: str, section: ResolversSection, found: int) -> Lines:
    """The line about nameservers beyond the rows of a section."""
    followed = section.followed
    if followed is None or found <= followed.rows:
        return []
    text = f"only the first {followed.rows} of the {found} nameservers of {path} are asked."
    return [(LogLevel.WARNING, f"resolvers '{section.name}': {text}")]
