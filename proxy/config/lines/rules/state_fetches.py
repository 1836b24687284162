"""Fetches of connections, of internal states and of TLS (manual sections 7.3.2 to 7.3.4), as words.

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
    ("srv_conn_free srv_sess_rate", "NUMBER", "SERVER", "CLIENTS", ""),
    ("table_cnt table_avl", "NUMBER", "TABLE", "CLIENTS", ""),
    ("fc_pp_authority fc_pp_unique_id last_rule_file", "TEXT", "NONE", "CLIENTS", ""),
    ("last_rule_line fc_err", "NUMBER", "NONE", "CLIENTS", ""),
    ("unique-id fc_err_str", "TEXT", "NONE", "CLIENTS", ""),
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
    ("prio_class prio_offset", "NUMBER", "NONE", "CLIENTS", "zero"),  # nothing changes them
    ("bc_err", "NUMBER", "NONE", "SERVERS", "zero"),
    ("bc_err_str", "TEXT", "NONE", "SERVERS", "success"),
    ("fc_http_major", "NUMBER", "NONE", "CLIENTS", "nothing"),  # nothing here speaks HTTP
    ("bc_http_major", "NUMBER", "NONE", "SERVERS", "nothing"),
)

# Fetches of TLS: none ends here, so that each says what it says in HAProxy of a connection in the
# clear: most say nothing, some `false`. What a client's hello says is asked by others.
_FALSE = "ssl_fc ssl_fc_has_sni ssl_fc_is_resumed"
_CERTIFICATE_NUMBERS = "ssl_c_ca_err ssl_c_ca_err_depth ssl_c_err ssl_c_verify"
_OF_EACH_NUMBERS = "{0}_version"
_OF_EACH_BYTES = "{0}_der {0}_serial {0}_sha1"
_OF_EACH_TEXTS = "{0}_key_alg {0}_notafter {0}_notbefore {0}_sig_alg"
_OF_EACH_NAMES = "{0}_i_dn {0}_s_dn"
_SIDE_NUMBERS = "{0}_alg_keysize {0}_use_keysize"
_SIDE_TEXTS = "{0}_alpn {0}_cipher {0}_npn {0}_protocol"
_SIDE_BYTES = "{0}_client_random {0}_server_random {0}_session_id {0}_session_key {0}_unique_id"
_SECRETS = (
    "client_early_traffic_secret client_handshake_traffic_secret client_traffic_secret_0 "
    "early_exporter_secret exporter_secret server_handshake_traffic_secret "
    "server_traffic_secret_0"
)
_HELLO_NUMBERS = "ssl_fc_cipherlist_xxh ssl_fc_err ssl_fc_protocol_hello_id"
_HELLO = "ssl_fc_cipherlist_bin ssl_fc_cipherlist_str ssl_fc_eclist_bin ssl_fc_extlist_bin"


def _each(names: str, *parts: str) -> str:
    return " ".join(names.format(part) for part in parts)


_CERTIFICATES = ("ssl_c", "ssl_f", "ssl_s")
_FRONT, _BACK = "ssl_fc", "ssl_bc"

# words; type, argument, where: names of fetches.py; the function
CLEAR_FETCHES: tuple[tuple[str, str, str, str, str], ...] = (
    (_FALSE, "TRUTH", "NONE", "TLS", "always_false"),
    ("ssl_fc_has_early ssl_fc_has_crt ssl_c_used", "TRUTH", "NONE", "TLS", "nothing"),
    (_CERTIFICATE_NUMBERS, "NUMBER", "NONE", "TLS", "nothing"),
    (_each(_OF_EACH_NUMBERS, *_CERTIFICATES), "NUMBER", "NONE", "TLS", "nothing"),
    (_each(_OF_EACH_BYTES, *_CERTIFICATES), "BYTES", "NONE", "TLS", "nothing"),
    ("ssl_c_chain_der ssl_s_chain_der", "BYTES", "NONE", "TLS", "nothing"),
    (_each(_OF_EACH_TEXTS, *_CERTIFICATES), "TEXT", "NONE", "TLS", "nothing"),
    (_each(_OF_EACH_NAMES, *_CERTIFICATES), "TEXT", "DISTINGUISHED", "TLS", "nothing"),
    (_each(_SIDE_NUMBERS, _FRONT), "NUMBER", "NONE", "TLS", "nothing"),
    (_HELLO_NUMBERS, "NUMBER", "NONE", "TLS", "nothing"),
    (_each(_SIDE_TEXTS, _FRONT), "TEXT", "NONE", "TLS", "nothing"),
    ("ssl_fc_ecformats_bin ssl_fc_err_str ssl_fc_sni", "TEXT", "NONE", "TLS", "nothing"),
    (_each("ssl_fc_{0}", *_SECRETS.split()), "TEXT", "NONE", "TLS", "nothing"),
    (_each(_SIDE_BYTES, _FRONT), "BYTES", "NONE", "TLS", "nothing"),
    (_HELLO, "TEXT", "LIMIT", "TLS", "nothing"),
    ("ssl_fc_cipherlist_hex", "BYTES", "LIMIT", "TLS", "nothing"),
    ("ssl_bc ssl_bc_is_resumed", "TRUTH", "NONE", "TLS_OF_SERVERS", "always_false"),
    (_each(_SIDE_NUMBERS, _BACK), "NUMBER", "NONE", "TLS_OF_SERVERS", "nothing"),
    ("ssl_bc_err", "NUMBER", "NONE", "TLS_OF_SERVERS", "nothing"),
    (_each(_SIDE_TEXTS, _BACK), "TEXT", "NONE", "TLS_OF_SERVERS", "nothing"),
    ("ssl_bc_err_str", "TEXT", "NONE", "TLS_OF_SERVERS", "nothing"),
    (_each(_SIDE_BYTES, _BACK), "BYTES", "NONE", "TLS_OF_SERVERS", "nothing"),
)
