"""The columns of `show stat`: names, order, and what the typed formats say of each.

The order is a contract: tools use positions (management manual 9.1). Names keep historical
spellings. A tag is origin, nature and scope in HAProxy's letters. Holds nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

ORIGINS = {"M": "Metric", "S": "Status", "K": "Key", "C": "Config", "P": "Product"}
NATURES = {
    "A": "Age",
    "C": "Counter",
    "D": "Duration",
    "G": "Gauge",
    "L": "Limit",
    "M": "Max",
    "N": "Name",
    "O": "Output",
    "R": "Rate",
    "T": "Time",
    "a": "Avg",
}
SCOPES = {"C": "Cluster", "P": "Process", "S": "Service", "Y": "System"}


class Column(NamedTuple):
    """One column: its position counts from 0."""

    position: int
    name: str
    tag: str
    type: str


# name:tag:type; a column without a tag never has a value here
_TABLE = """
pxname:KNS:str svname:KNS:str qcur:MGP:u32 qmax:MMP:u32 scur:MGP:u32 smax:MMP:u32 slim:CLP:u32
stot:MCP:u64 bin:MCP:u64 bout:MCP:u64 dreq:MCP:u64 dresp:MCP:u64 ereq:MCP:u64 econ:MCP:u64
eresp:MCP:u64 wretr:MCP:u64 wredis:MCP:u64 status:SGP:str weight:MaP:u32 act:MGP:u32 bck:MGP:u32
chkfail:MCP:u64 chkdown:MCP:u64 lastchg:MAP:u32 downtime:MCP:u32 qlimit:CLS:u32 pid:KGP:u32
iid:KGS:u32 sid:KGS:u32 throttle:MaP:u32 lbtot:MCP:u64 tracked:CGS:str type:CGS:u32 rate:MRP:u32
rate_lim:CLP:u32 rate_max:MMP:u32 check_status:MOP:str check_code:MOP:u32 check_duration:MDP:u64
hrsp_1xx:MCP:u64 hrsp_2xx:MCP:u64 hrsp_3xx:MCP:u64 hrsp_4xx:MCP:u64 hrsp_5xx:MCP:u64
hrsp_other:MCP:u64 hanafail:MCP:u64 req_rate:MRP:u32 req_rate_max:MMP:u32 req_tot:MCP:u64
cli_abrt:MCP:u64 srv_abrt:MCP:u64 comp_in:MCP:u64 comp_out:MCP:u64 comp_byp:MCP:u64
comp_rsp:MCP:u64 lastsess:MAP:s32 last_chk:MOP:str last_agt:MOP:str qtime:MaP:u32 ctime:MaP:u32
rtime:MaP:u32 ttime:MaP:u32 agent_status:MOP:str agent_code:MOP:u32 agent_duration:MDP:u64
check_desc:MOP:str agent_desc:MOP:str check_rise:CGS:u32 check_fall:CGS:u32 check_health:CGS:u32
agent_rise:CGS:u32 agent_fall:CGS:u32 agent_health:CGS:u32 addr:CGS:str cookie:CNS:str
mode:CGS:str algo:CGS:str conn_rate:MRP:u32 conn_rate_max:MMP:u32 conn_tot:MCP:u64
intercepted:MCP:u64 dcon:MCP:u64 dses:MCP:u64 wrew:MCP:u64 connect:MCP:u64 reuse:MCP:u64
cache_lookups:MCP:u64 cache_hits:MCP:u64 srv_icur:MGP:u32 src_ilim:CLP:u32 qtime_max:MMP:u32
ctime_max:MMP:u32 rtime_max:MMP:u32 ttime_max:MMP:u32 eint:MCP:u64 idle_conn_cur:MGP:u32
safe_conn_cur:MGP:u32 used_conn_cur:MGP:u32 need_conn_est:MGP:u32 uweight:MaP:u32
agg_server_status:MGP:u32 agg_server_check_status:MGP:u32 agg_check_status:MGP:u32 srid:KGS:u32
sess_other:MCP:u64 h1sess:MCP:u64 h2sess:MCP:u64 h3sess:MCP:u64 req_other:MCP:u64 h1req:MCP:u64
h2req:MCP:u64 h3req:MCP:u64 proto:CNS:str priv_idle_cur:MGP:u32 reqbin:MCP:u64 reqbout:MCP:u64
resbin:MCP:u64 resbout:MCP:u64 cache_hint_hits:MCP:u64
"""

COLUMNS = tuple(
    Column(position, *entry.split(":")) for position, entry in enumerate(_TABLE.split())
)
STAT_HEADER = "# " + ",".join(column.name for column in COLUMNS) + ",-,\n"

_RESOLVER_NAMES = """
sent snd_error valid update cname cname_error any_err nx timeout refused other invalid too_big
truncated outdated
"""
RESOLVER_COUNTERS = tuple(_RESOLVER_NAMES.split())
RESOLVER_COLUMNS = tuple(
    Column(position, name, tag, kind)
    for position, (name, tag, kind) in enumerate(
        [
            ("id", "CGP", "str"),
            ("pid", "CGP", "str"),
            *(
                ("send_error" if name == "snd_error" else name, "MGP", "u64")
                for name in RESOLVER_COUNTERS
            ),
        ]
    )
)
RESOLVER_HEADER = "# " + ",".join(column.name for column in RESOLVER_COLUMNS) + ",\n"
