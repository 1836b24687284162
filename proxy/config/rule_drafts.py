"""Rules of connections while a section is being read: their actions, and conditions as words.

Conditions name lists, backends and servers that later lines may make; they are linked when all
sections are known (linking/rules/connection_rules.py).
"""

from __future__ import annotations

import msgspec

from proxy.config.http_drafts import RuleLine
from proxy.config.model.rules import Format, RuleAction, Value
from proxy.config.model.sockets import Origin
from shm.tables.shape import TableShape


class ConnectionRuleDraft(msgspec.Struct, frozen=True):
    """One rule; `condition` are the words from `if` or `unless` on, none without one."""

    action: RuleAction
    line: RuleLine
    condition: tuple[str, ...] = ()
    target: str = ""  # the name of a backend, of a server, of a table, or of a variable
    key: Value | None = None  # of the table's entry; of a tag or a variable the value
    key_type: str = ""  # what the key is: a SampleType
    tracked: int = 0  # which of the entries that a session follows
    data: int = 0  # of that entry: as shape.py numbers it
    form: Format = ()  # what says the name of the backend, or the value of the variable
    when: int = 0  # conditions of `set-var`: bits of a Rule
    length: int = 0  # of what is captured


class TableDraft(msgspec.Struct, frozen=True):
    """The stick table of a section."""

    shape: TableShape
    origin: Origin
    peers: str = ""  # the name of a section


class ConnectionRulesDraft(msgspec.Struct, frozen=True):
    """The rules of one section, by what they look at, in the order of the file."""

    connection: tuple[ConnectionRuleDraft, ...] = ()
    session: tuple[ConnectionRuleDraft, ...] = ()
    content: tuple[ConnectionRuleDraft, ...] = ()
    backends: tuple[ConnectionRuleDraft, ...] = ()
    server_rules: tuple[ConnectionRuleDraft, ...] = ()
    response: tuple[ConnectionRuleDraft, ...] = ()
    sticks: tuple[ConnectionRuleDraft, ...] = ()
    persists: tuple[ConnectionRuleDraft, ...] = ()
    cookies: tuple[ConnectionRuleDraft, ...] = ()
    hashes: tuple[ConnectionRuleDraft, ...] = ()
    answers: tuple[ConnectionRuleDraft, ...] = ()
    inspect_ms: int = 0
    response_ms: int = 0

    @property
    def all_headed(self) -> bool:
        """Whether each connection begins with a PROXY header: the first rule says so."""
        first = self.connection[:1]
        return any(r.action is RuleAction.EXPECT_PROXY and not r.condition for r in first)

    @property
    def some_headed(self) -> bool:
        """Whether a rule says of some connections that they begin with a PROXY header."""
        return any(rule.action is RuleAction.EXPECT_PROXY for rule in self.connection)

    @property
    def empty(self) -> bool:
        """Whether there are none."""
        kinds = (*self.of_requests, self.backends, self.server_rules, self.response, self.sticks)
        return not any((*kinds, self.persists, self.cookies, self.hashes, self.answers))

    @property
    def of_requests(self) -> tuple[ConnectionRuleDraft, ...]:
        """Those of `tcp-request` lines."""
        return (*self.connection, *self.session, *self.content)

    @property
    def lines(self) -> tuple[ConnectionRuleDraft, ...]:
        """All of them."""
        return (*self.of_requests, *self.backends, *self.server_rules, *self.response)

    def with_only(self, field: str, *rules: ConnectionRuleDraft) -> ConnectionRulesDraft:
        """These rules, but of one kind no others than those."""
        return msgspec.structs.replace(self, **{field: rules})

    def with_rule(self, field: str, rule: ConnectionRuleDraft) -> ConnectionRulesDraft:
        """These rules and one more."""
        return msgspec.structs.replace(self, **{field: (*getattr(self, field), rule)})
