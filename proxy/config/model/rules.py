"""Conditions as the configuration compiles them: flat terms with jumps (manual sections 7.1-7.3).

A condition is a row of terms. Each fetches a sample, compares it with patterns, and says which term
is next: `and`, `or` and negation are forward jumps, so the time of a condition is bounded by its
length, and nothing of it recurs. proxy/rules/ runs them.
"""

from __future__ import annotations

import enum

import msgspec

from proxy.config.model.lists import PatternList
from proxy.config.model.matching import MapType, Matcher
from proxy.config.model.sockets import Origin

ACCEPTED = -1  # the condition holds
REJECTED = -2  # it does not


class IntRange(msgspec.Struct, frozen=True):
    """Numbers from `low` to `high`, both included; None: no limit on that side."""

    low: int | None
    high: int | None


class Network(msgspec.Struct, frozen=True):
    """Addresses whose first `bits` bits are those of `address`: 4 bytes or 16."""

    address: bytes
    bits: int


class TableName(msgspec.Struct, frozen=True):
    """A stick table that an expression names, until all sections are known."""

    name: str  # "": the section's own
    word: str  # the fetch or converter as written
    position: int  # of the argument, from 1
    fetch: str = ""  # of a converter: the fetch that it follows


class Converter(msgspec.Struct, frozen=True):
    """What makes another sample of one."""

    name: str
    text: str = ""
    numbers: tuple[int, ...] = ()
    table: TableName | None = None  # what the first number is of, while it is not known
    matcher: Matcher | None = None  # of a map: how keys are compared
    gives: MapType = MapType.TEXT  # and what its values are
    listed: PatternList | None = None  # the map, while its number is not known
    patterns: int = -1  # its number among the lists of the settings
    variable: str = ""  # its name with the scope; its number is the last one


class Term(msgspec.Struct, frozen=True):
    """A fetch, converters, a comparison; `then` and `otherwise` are terms, ACCEPTED or REJECTED."""

    fetch: str
    matcher: Matcher
    then: int
    otherwise: int
    text: str = ""  # the argument that is a name: of a header
    content: bytes = b""  # instead of the text
    numbers: tuple[int, ...] = ()  # arguments: indices, slots, occurrences
    negated: bool = False  # where it stands what it says counts the other way round
    lists: tuple[int, ...] = ()  # numbers of its lists in the settings, where the matcher has any
    pattern: str = ""  # the first one of the line, for those who show it
    converters: tuple[Converter, ...] = ()  # from the left to the right


class Target(msgspec.Struct, frozen=True):
    """What an expression names, until all sections are known."""

    name: str  # as written; "": the section's own
    kind: (
        str  # "backend", "server", "frontend", or of the section "id", "name", "be_name", "fe_name"
    )


class Value(msgspec.Struct, frozen=True):
    """An expression that gives a value: a fetch, and converters from the left to the right."""

    fetch: str
    text: str = ""
    content: bytes = b""  # instead of the text
    numbers: tuple[int, ...] = ()  # arguments: indices, slots, a variable
    converters: tuple[Converter, ...] = ()
    variable: str = ""  # its name with the scope; its number is the first one
    target: Target | None = None  # what the numbers are of, while they are not known
    table: TableName | None = None  # what the second number is of, likewise


class FormatPart(msgspec.Struct, frozen=True):
    """One part of a format: text that stands for itself, or a value as its flags write it."""

    text: str = ""
    value: Value | None = None
    quote: bool = False
    escape: bool = False
    hexadecimal: bool = False  # numbers and addresses
    encode: str = ""  # one character, before the digits of bytes that no header can have


Format = tuple[FormatPart, ...]
FormatText = str | Format  # what is always the same is a text


class Condition(msgspec.Struct, frozen=True):
    """What stands after `if` or `unless`; it begins at its first term."""

    terms: tuple[Term, ...]


class RuleAction(enum.Enum):
    """What rules of connections do, as they are written."""

    ACCEPT = "accept"
    REJECT = "reject"
    SILENT_DROP = "silent-drop"
    EXPECT_PROXY = "expect-proxy"
    CLOSE = "close"
    USE_BACKEND = "use_backend"
    USE_SERVER = "use-server"
    STICK_ON = "stick on"
    STICK_MATCH = "stick match"
    STICK_STORE = "stick store-request"
    TRACK = "track-sc"
    COUNT = "sc-inc-gpc"
    TAG = "sc-set-gpt"
    SET_VARIABLE = "set-var"
    UNSET_VARIABLE = "unset-var"
    CAPTURE = "capture"
    SET_SOURCE = "set-src"
    SET_SOURCE_PORT = "set-src-port"
    SET_DESTINATION = "set-dst"
    SET_DESTINATION_PORT = "set-dst-port"
    CLIENT_MARK = "set-fc-mark"
    CLIENT_TOS = "set-fc-tos"
    SERVER_MARK = "set-bc-mark"
    SERVER_TOS = "set-bc-tos"
    LOG_LEVEL = "set-log-level"
    RETRIES = "set-retries"
    NICE = "set-nice"  # accepted: sessions of one worker have no priorities
    FORCE_PERSIST = "force-persist"
    IGNORE_PERSIST = "ignore-persist"
    PERSIST_COOKIE = "persist rdp-cookie"
    HASH = "balance"  # what `balance hash` and `balance rdp-cookie` hash
    STICK_ANSWER = "stick store-response"

    @property
    def moves(self) -> str:
        """The fetch whose value it changes; "" for most."""
        return self.value.removeprefix("set-").replace("-", "_") if self in _MOVING else ""

    @property
    def names_variable(self) -> bool:
        """Whether it changes a variable; then the next rule has its turn."""
        return self in (RuleAction.SET_VARIABLE, RuleAction.UNSET_VARIABLE, RuleAction.CAPTURE)

    @property
    def uses_table(self) -> bool:
        """Whether it looks for an entry of a stick table, or makes one."""
        return self in _OF_TABLES


_OF_TABLES = frozenset(
    {
        RuleAction.STICK_ON,
        RuleAction.STICK_MATCH,
        RuleAction.STICK_STORE,
        RuleAction.STICK_ANSWER,
    }
)
_MOVING = frozenset(
    {
        RuleAction.SET_SOURCE,
        RuleAction.SET_SOURCE_PORT,
        RuleAction.SET_DESTINATION,
        RuleAction.SET_DESTINATION_PORT,
    }
)


SETTING_CONDITIONS = (  # of `set-var`; the bits of a word, as in proxy/rules/variables/memory.pxd
    *("ifexists", "ifnotexists", "ifempty", "ifnotempty", "ifset", "ifnotset"),
    *("ifgt", "iflt"),
)


class Rule(msgspec.Struct, frozen=True):
    """One rule of connections.

    `target` is the index of a backend, the slot of a server, or the number of a table, in which
    `key` names the entry; or `key` is what an address, a mark or the like is set to. `tracked` says
    which of the entries that a session follows is meant; of that entry `data` is counted, or gets
    the value that `key` is.
    With a `form` the backend is the one whose name it says. Of a variable `target` is the number,
    and `key` or `form` its value.
    """

    action: RuleAction
    condition: Condition | None = None
    target: int = 0
    key: Value | None = None
    tracked: int = 0
    data: int = 0
    number: int = 0  # among those of all sections: workers count by it
    text: str = ""  # its line, word by word
    origin: Origin = Origin()
    form: Format = ()
    when: int = 0  # bits: conditions of `set-var`
    length: int = 0  # of what is captured, at most


class SharedSetting(msgspec.Struct, frozen=True):
    """A line `set-var` or `set-var-fmt` of the global section: a variable of the program."""

    name: str  # with its scope
    origin: Origin
    value: Value | None = None
    form: Format = ()  # without a value
    when: int = 0  # conditions of `set-var`, as of a Rule
    number: int = -1  # while it is not known


class SharedVariables(msgspec.Struct, frozen=True):
    """The variables of the program: all that lines name, and what they are at the start."""

    names: tuple[str, ...] = ()  # with their scope, by their number
    settings: tuple[SharedSetting, ...] = ()  # in the order of the file
    bytes_max: int = 0  # of all values; 0: no limit


class ConnectionRules(msgspec.Struct, frozen=True):
    """The rules of a section in mode tcp, each stage by itself and in the order of the file.

    `inspect_ms`: how long `content` waits for bytes; 0: it looks at those that are there. So does
    `response` for `response_ms`.
    """

    connection: tuple[Rule, ...] = ()
    session: tuple[Rule, ...] = ()
    content: tuple[Rule, ...] = ()
    backends: tuple[Rule, ...] = ()
    server_rules: tuple[Rule, ...] = ()
    response: tuple[Rule, ...] = ()
    sticks: tuple[Rule, ...] = ()
    persists: tuple[Rule, ...] = ()  # whether a named server is taken whatever its state
    cookies: tuple[Rule, ...] = ()  # which server an RDP cookie names
    hashes: tuple[Rule, ...] = ()  # what is hashed to find a server
    answers: tuple[Rule, ...] = ()  # keys of stick tables from what servers say
    inspect_ms: int = 0
    response_ms: int = 0

    @property
    def stages(self) -> dict[str, tuple[Rule, ...]]:
        """The rules of each stage, by its field."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if isinstance(value, tuple)}

    @property
    def every(self) -> tuple[Rule, ...]:
        """All of them; those of `content` are of the clients, and of the backend."""
        return (
            *self.connection,
            *self.session,
            *self.content,
            *self.content,
            *self.backends,
            *self.server_rules,
            *self.response,
            *self.sticks,
            *self.persists,
            *self.cookies,
            *self.hashes,
            *self.answers,
        )
