"""The course of a session through the rules of its frontend and backend, as a report.

The stages are the relay's, in its order (proxy/relay/session/stages.pxd). A stage whose outcome
depends on what was not told is followed by the others, for a client that it lets in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from proxy.config.model.rules import Rule, RuleAction
from proxy.config.model.settings import Bind, Proxy, SocketFamily
from proxy.control.commands.rules.client import AskedClient, hello
from proxy.control.commands.rules.rulings import (
    ALWAYS_TOLD,
    FINAL,
    TOLD_BY_NAME,
    Finding,
    Known,
    Rulings,
)
from proxy.rules.program import Seen

_UNTOLD = "0.0.0.0"  # stands where no condition looks
_REFUSING = {RuleAction.REJECT: "rejected", RuleAction.SILENT_DROP: "dropped in silence"}
_ENDS = ("src", "src_port", "dst", "dst_port")


class Destinations:
    """What rules lead to: backends by index, servers by slot."""

    def __init__(
        self, backends: Sequence[Proxy], server: Callable[[int], str], serves: Callable[[int], bool]
    ) -> None:
        """`serves`: whether a slot takes sessions that a rule sends to it."""
        self.backends = backends
        self.server = server
        self.serves = serves

    def deed(self, rule: Rule) -> str:
        """What a rule does, where it is more than its action."""
        if rule.form and rule.action is RuleAction.USE_BACKEND:
            return "chooses the backend of the name that it says"
        if rule.action is RuleAction.USE_BACKEND:
            known = 0 <= rule.target < len(self.backends)
            return f"chooses {self.backends[rule.target].name}" if known else "chooses no backend"
        if rule.action is RuleAction.USE_SERVER:
            away = "" if self.serves(rule.target) else ", which does not serve: the next rule"
            return f"chooses {self.server(rule.target)}{away}"
        if rule.action.uses_table:
            return "looks at its table" if rule.action is not RuleAction.STICK_STORE else "stores"
        return str(rule.action.value)

    def decides(self, rule: Rule) -> bool:
        """Whether a rule that acts ends its ruleset."""
        if rule.action is RuleAction.USE_SERVER:
            return self.serves(rule.target)
        return rule.action in FINAL


class Course:
    """One client at one frontend: lines as they are found, and what becomes of it."""

    def __init__(
        self,
        proxy: Proxy,
        binds: Sequence[Bind],
        client: AskedClient,
        rulings: Rulings,
        names: Destinations,
    ) -> None:
        """`binds` are the addresses of the frontend that the client may have come to."""
        self._proxy = proxy
        self._client = client
        self._rulings = rulings
        self._targets = names
        self._lines: list[str] = []
        self._open: dict[str, None] = {}  # what the outcome depends on, in order
        self._headed = any(bind.accept_proxy for bind in binds)
        self._ends = self._ends_of(binds)
        self._bytes = False  # whether a stage has waited for what the client sends

    def report(self) -> Iterator[str]:
        """The verdict, then what each stage says."""
        verdict = self._verdict()
        if self._open:
            verdict = f"depends on {', '.join(self._open)}"
        yield f"{self._proxy.name}: {verdict}.\n"
        yield from self._lines

    def _verdict(self) -> str:
        """Where the session goes; what that depends on is noted beside."""
        rules = self._proxy.rules
        if rules is not None:
            told = self._told(self._ends if not self._headed else {})
            refused = self._stage("connection", rules.connection, told)
            if refused:
                return refused
            refused = self._stage("session", rules.session, self._told(self._ends))
            refused = refused or self._content("content", rules.content, rules.inspect_ms)
            if refused:
                return refused
        backend, by = self._backend()
        if backend is None:
            return by
        if backend.rules is not None and backend is not self._proxy:
            refused = self._content("its content", backend.rules.content, backend.rules.inspect_ms)
            if refused:
                return refused
        server, named = self._server(backend)
        if server:
            return f"goes to {backend.name}/{server} by {named}"
        own = backend is self._proxy and by == "default_backend"
        return "goes to its own servers" if own else f"goes to {backend.name} by {by}"

    def _ends_of(self, binds: Sequence[Bind]) -> dict[str, object]:
        """What is known of both ends, by fetch; addresses of binds where they leave no choice."""
        source, target = self._client.source, self._client.target
        hosts = {bind.endpoint.host for bind in binds}
        ports = {bind.endpoint.port for bind in binds}
        own = next(iter(hosts)) if len(hosts) == 1 and not hosts & {"0.0.0.0", "::"} else None
        port = next(iter(ports)) if len(ports) == 1 else None
        found = {
            "src": source.address,
            "src_port": source.port,
            "dst": target.address or own,
            "dst_port": port if target.port is None else target.port,
        }
        return {name: value for name, value in found.items() if value is not None}

    def _told(self, ends: dict[str, object], *, final: bool = True, content: bool = False) -> Known:
        """What conditions know; `content`: also the first bytes of a client of TLS."""
        address, port, front, front_port = (ends.get(name) for name in _ENDS)
        sni = self._client.sni if content else None
        return Known(
            Seen(
                client=(str(address or _UNTOLD), int(str(port or 0))),
                front=(str(front or _UNTOLD), int(str(front_port or 0))),
                content=None if sni is None else hello(sni),
                final=final,
            ),
            ALWAYS_TOLD | ends.keys() | (TOLD_BY_NAME if sni is not None else frozenset()),
        )

    def _stage(self, title: str, rules: Sequence[Rule], told: Known) -> str:
        """Tell of a ruleset that waits for nothing; how it ends the session, "" if it does not."""
        found = self._rulings.findings(rules, told, self._targets.decides) or []
        return self._judge(title, rules, found)

    def _content(self, title: str, rules: Sequence[Rule], inspect_ms: int) -> str:
        """The same, where bytes are waited for."""
        if not rules:
            return ""
        find, decides = self._rulings.findings, self._targets.decides
        waits = inspect_ms > 0
        told = self._told(self._ends, final=not waits, content=False)
        empty = told._replace(
            seen=told.seen._replace(content=b""), fetches=told.fetches | TOLD_BY_NAME
        )
        before = find(rules, empty, decides)
        if waits and (before is None or any(_waits_for_bytes(each.rule) for each in before)):
            self._bytes = self._client.sni is not None
        content = self._bytes or waits
        found = find(rules, self._told(self._ends, final=not waits, content=content), decides)
        if found is None:  # the delay passes
            found = find(rules, self._told(self._ends, content=content), decides) or []
        return self._judge(title, rules, found)

    def _judge(self, title: str, rules: Sequence[Rule], found: list[Finding]) -> str:
        """Tell of the rules that were found; what they make of the session."""
        if not rules:
            return ""
        self._tell(title, found, "no rule acts")
        decided = bool(found) and not found[-1].open and self._targets.decides(found[-1].rule)
        deciding = [each for each in found if self._targets.decides(each.rule)]
        outcomes = {each.rule.action in _REFUSING for each in deciding}
        outcomes |= set() if decided else {False}
        if len(outcomes) > 1:
            self._open.update(dict.fromkeys(name for each in deciding for name in each.open))
            return ""
        if True not in outcomes:
            for each in found:
                self._ends.pop(each.rule.action.moves, None)
            expected = any(each.rule.action is RuleAction.EXPECT_PROXY for each in found)
            if expected and not self._headed:
                self._ends = {}  # the header names others
            return ""
        place = " or ".join(dict.fromkeys(_place(each.rule) for each in deciding))
        return f"{_REFUSING[deciding[-1].rule.action]} by {place}"

    def _tell(self, title: str, found: Sequence[Finding], otherwise: str) -> None:
        for each in found:
            deed = self._targets.deed(each.rule)
            if each.open:
                deed = f"{deed} or not, which depends on {', '.join(each.open)}"
            self._line(title, f"{_place(each.rule)} {deed}: {each.rule.text}")
        if not found:
            self._line(title, otherwise)

    def _line(self, title: str, text: str) -> None:
        self._lines.append(f"  {title:<12}: {text}\n")

    def _backend(self) -> tuple[Proxy | None, str]:
        """The backend and what chooses it; without one why not."""
        default = self._proxy.default_backend
        found: list[Finding] = []
        told = self._told(self._ends, content=self._bytes)
        if self._proxy.rules is not None and self._proxy.rules.backends:
            stage, decides = self._proxy.rules.backends, self._targets.decides
            found = self._rulings.findings(stage, told, decides) or []
            self._tell("backend", found, "no rule acts")
        own = -1 if default is None else default
        targets = [self._target(each.rule, told, own) for each in found]
        if None in targets:
            return None, "has no backend yet"
        if not found or found[-1].open:
            targets.append(own)
        if len(set(targets)) > 1:
            self._open.update(dict.fromkeys(name for each in found for name in each.open))
            return None, "has no backend yet"
        target = targets[0]
        if target is None or not 0 <= target < len(self._targets.backends):
            return None, "has no backend"
        places = [_place(each.rule) for each in found]
        if not found or found[-1].open:
            places.append("default_backend")
        return self._targets.backends[target], " or ".join(places)

    def _target(self, rule: Rule, told: Known, default: int) -> int | None:
        """The index of the backend that a rule chooses; None where its name is not known."""
        if not rule.form:
            return rule.target
        name, missing = self._rulings.said(rule, told)
        self._open.update(dict.fromkeys(missing))
        if missing:
            return None
        known = [at for at, each in enumerate(self._targets.backends) if each.name == name]
        self._line("", f"the name is '{name}'{'' if known else ', which no backend has'}")
        return known[0] if known else default

    def _server(self, backend: Proxy) -> tuple[str, str]:
        """The server that rules name, and which rule; "" where it is balanced or in a table."""
        rules = backend.rules
        if rules is None:
            return "", ""
        told = self._told(self._ends, content=self._bytes)
        chosen = ("", "")
        if rules.server_rules:
            found = self._rulings.findings(rules.server_rules, told, self._targets.decides) or []
            self._tell("server", found, "no rule acts")
            choosing = [each for each in found if self._targets.decides(each.rule)]
            targets = {each.rule.target for each in choosing}
            if choosing and choosing[-1].open:
                targets.add(-1)
            if len(targets) > 1:
                self._open.update(dict.fromkeys(n for each in choosing for n in each.open))
            elif choosing:
                rule = choosing[-1].rule
                chosen = (self._targets.server(rule.target), _place(rule))
        for title, stage in (
            ("persist", rules.persists),
            ("cookie", rules.cookies),
            ("table", rules.sticks),
            ("hash", rules.hashes),
            ("response", rules.response),
            ("answer", rules.answers),
        ):
            if stage:
                found = self._rulings.findings(stage, told, self._targets.decides) or []
                self._tell(title, found, "no rule acts")
        return chosen


def _waits_for_bytes(rule: Rule) -> bool:
    """Whether a rule that acts waits for what it captures, or for the key of an entry."""
    if rule.action not in (RuleAction.CAPTURE, RuleAction.TRACK) or rule.key is None:
        return False
    return rule.key.fetch.startswith(("req.", "payload"))


def _place(rule: Rule) -> str:
    return f"{rule.origin.file}:{rule.origin.line}"


def binds_met(binds: Sequence[Bind], client: AskedClient) -> tuple[Bind, ...]:
    """The addresses that a client may have come to."""
    target = client.target
    return tuple(
        bind
        for bind in binds
        if bind.endpoint.family in (SocketFamily.IPV4, SocketFamily.IPV6)
        and target.port in (None, bind.endpoint.port)
        and (target.address in (None, bind.endpoint.host) or _is_any(bind, target.address))
    )


def _is_any(bind: Bind, address: str | None) -> bool:
    """Whether a bind takes clients at each address of this family."""
    if bind.endpoint.host == "0.0.0.0":
        return address is None or ":" not in address
    return bind.endpoint.host == "::"
