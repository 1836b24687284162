"""What a stick table is made of (manual section 4.2, `stick-table`): keys, size and data.

Owns the types of keys and data, and how many words of an entry each takes. Knows no memory.
"""

from __future__ import annotations

import enum
import hashlib
from ipaddress import ip_address
from typing import NamedTuple

KEY_BYTES_MAX = 16_384  # as long as a text that a converter makes
PERIOD_MS_MAX = 0x7FFFFFFF  # of a rate, and the life of an entry: HAProxy's ticks
ENTRIES_MAX = 3_500_000_000  # `size`: the number of a cell is one of 32 bits
CONTROL_WRITER = 0  # the number of control as a writer; workers have those above
ARRAY_MAX = 100  # elements of gpc, gpt and gpc_rate, as HAProxy's


class KeyType(enum.Enum):
    """Types of keys, by the words of `type`."""

    IP = "ip"
    IPV6 = "ipv6"
    INTEGER = "integer"
    STRING = "string"
    BINARY = "binary"


class TableData(enum.Enum):
    """Types of data, by the words of `store`, in the order in which HAProxy shows them."""

    SERVER_ID = "server_id"
    GPT0 = "gpt0"
    GPC0 = "gpc0"
    GPC0_RATE = "gpc0_rate"
    CONN_CNT = "conn_cnt"
    CONN_RATE = "conn_rate"
    CONN_CUR = "conn_cur"
    SESS_CNT = "sess_cnt"
    SESS_RATE = "sess_rate"
    HTTP_REQ_CNT = "http_req_cnt"
    HTTP_REQ_RATE = "http_req_rate"
    HTTP_ERR_CNT = "http_err_cnt"
    HTTP_ERR_RATE = "http_err_rate"
    BYTES_IN_CNT = "bytes_in_cnt"
    BYTES_IN_RATE = "bytes_in_rate"
    BYTES_OUT_CNT = "bytes_out_cnt"
    BYTES_OUT_RATE = "bytes_out_rate"
    GPC1 = "gpc1"
    GPC1_RATE = "gpc1_rate"
    HTTP_FAIL_CNT = "http_fail_cnt"
    HTTP_FAIL_RATE = "http_fail_rate"
    GPT = "gpt"
    GPC = "gpc"
    GPC_RATE = "gpc_rate"

    @property
    def number(self) -> int:
        """Its position, as layout.pxd numbers them."""
        return _ORDER.index(self)

    @property
    def is_rate(self) -> bool:
        """Whether it is counted over a period."""
        return self.value.endswith("_rate")

    @property
    def is_array(self) -> bool:
        """Whether it has a number of elements."""
        return self in (TableData.GPT, TableData.GPC, TableData.GPC_RATE)

    @property
    def words(self) -> int:
        """Words of an entry that one element takes."""
        if self is TableData.CONN_CUR:
            return 0  # the sum of the columns of holds
        return 2 if self.is_rate or self is TableData.SERVER_ID else 1


_ORDER = tuple(TableData)
ELEMENT_BITS = 8
_SPREAD = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio
_WORD = (1 << 64) - 1


def data_number(data: TableData, element: int = 0) -> int:
    """What stands for one element of a type of data in rules; one that no table has is the last."""
    highest = (1 << ELEMENT_BITS) - 1
    return data.number << ELEMENT_BITS | (element if 0 <= element < highest else highest)


class Stored(NamedTuple):
    """One type of data that each entry of a table has."""

    data: TableData
    elements: int = 1
    period_ms: int = 0  # of a rate


def server_hash(name: str) -> int:
    """What stands for a server's name in the word of an entry: 40 bits, above an incarnation."""
    digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=5).digest()
    return max(1, int.from_bytes(digest, "big")) << 24


def address_word(host: str, port: int) -> int:
    """What stands for a server's address where entries name that, as address_word in layout.pxd.

    One of IPv4 can be read from it; of another one it is a hash.
    """
    packed = ip_address(host).packed
    if len(packed) == 4:
        return 1 << 63 | port << 32 | int.from_bytes(packed, "big")
    number = port
    for half in (packed[:8], packed[8:]):
        number = (number ^ int.from_bytes(half, "big")) * _SPREAD & _WORD
        number ^= number >> 32
    return number & (1 << 63) - 1 | 1


def address_of_word(word: int) -> str | None:
    """The address and port that a word has; None: it is a hash."""
    if not word >> 63:
        return None
    return f"{ip_address(word & (1 << 32) - 1)}:{word >> 32 & 0xFFFF}"


class TableShape(NamedTuple):
    """All that makes a table: two that are equal can be one over a reload."""

    name: str
    key: KeyType
    key_bytes: int  # of the longest key
    entries: int
    expire_ms: int = 0  # 0: never by age
    nopurge: bool = False
    stored: tuple[Stored, ...] = ()  # in the order of TableData
    by_address: bool = False  # entries name the address of their server, not its name

    @property
    def memory(self) -> TableShape:
        """What its memory is made by: the rest may change while it is in use."""
        return self._replace(expire_ms=0, nopurge=False)

    def find(self, data: TableData) -> Stored | None:
        """How this type of data is stored; None: it is not."""
        return next((each for each in self.stored if each.data is data), None)
