"""Fetches of connections and internal states (manual sections 7.3.2 to 7.3.4), as words.

Owns their names, types, arguments and where they look; fetches.py makes entries of them. A name
that formats know already gets its other function for rules of connections here.
"""

from __future__ import annotations

_KERNEL = "fc_unacked fc_sacked fc_retrans fc_fackets fc_lost fc_reordering"

# words; type, argument, where: names of fetches.py; the function, if its name is another
STATE_FETCHES: tuple[tuple[str, str, str, str, str], ...] = (
    ("fc_rtt fc_rttvar", "NUMBER", "TIME_UNIT", "CLIENTS", ""),
    (_KERNEL, "NUMBER", "NONE", "CLIENTS", ""),
    ("src_is_local dst_is_local fc_rcvd_proxy", "TRUTH", "NONE", "CLIENTS", ""),
    ("fc_src_is_local fc_dst_is_local", "TRUTH", "NONE", "CLIENTS", ""),
    ("fc_src fc_dst", "ADDRESS", "NONE", "CLIENTS", ""),
    ("fc_src_port fc_dst_port", "NUMBER", "NONE", "CLIENTS", ""),
    ("dst_conn so_id fe_id fe_client_timeout thread", "NUMBER", "NONE", "CLIENTS", ""),
    ("so_name fe_name fe_defbe", "TEXT", "NONE", "CLIENTS", ""),
    ("fe_sess_rate", "NUMBER", "FRONTEND", "CLIENTS", ""),
    ("be_sess_rate connslots be_conn_free", "NUMBER", "BACKEND", "CLIENTS", ""),
    ("srv_conn_free", "NUMBER", "SERVER", "CLIENTS", ""),
    ("avg_queue", "NUMBER", "BACKEND", "CONDITIONS", ""),
    ("srv_queue srv_weight srv_uweight srv_iweight", "NUMBER", "SERVER", "CONDITIONS", ""),
    ("act_conn", "NUMBER", "NONE", "CONDITIONS", "sessions"),
    ("stopping", "TRUTH", "NONE", "CONDITIONS", ""),
    ("date_us", "NUMBER", "NONE", "CONDITIONS", ""),
    ("be_name", "TEXT", "NONE", "BACKENDS", "own_name"),
    ("be_id", "NUMBER", "NONE", "BACKENDS", "own_id"),
    ("be_server_timeout cur_server_timeout", "NUMBER", "NONE", "BACKENDS", "own_server_timeout"),
    ("be_tunnel_timeout cur_tunnel_timeout", "NUMBER", "NONE", "BACKENDS", "own_tunnel_timeout"),
    ("srv_id", "NUMBER", "NONE", "SERVERS", "session.srv_id"),
    ("srv_name", "TEXT", "NONE", "SERVERS", "session.srv_name"),
    ("bc_src", "ADDRESS", "NONE", "SERVERS", "session.bc_src"),
    ("bc_dst", "ADDRESS", "NONE", "SERVERS", "session.bc_dst"),
    ("bc_src_port", "NUMBER", "NONE", "SERVERS", "session.bc_src_port"),
    ("bc_dst_port", "NUMBER", "NONE", "SERVERS", "session.bc_dst_port"),
    # always the same
    ("fe_req_rate", "NUMBER", "FRONTEND", "CLIENTS", "zero"),  # requests by HTTP: it counts none
    ("prio_class prio_offset fc_err", "NUMBER", "NONE", "CLIENTS", "zero"),  # nothing changes them
    ("bc_err", "NUMBER", "NONE", "SERVERS", "zero"),
)
