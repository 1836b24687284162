"""Fetches of connections and of internal states: conditions that HAProxy and Millrace judge alike.

Each condition decides at each stage that it can stand at whether a client is refused. The address
of the client says which one is meant, so that one section has all of a stage.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port
from tests.support.differential.one_program import PROGRAMS, one_program
from tests.support.relay.rule_cases import serving

pytestmark = pytest.mark.slow
HEAD = """\
global
  stats socket {folder}/s level admin
defaults
  mode tcp
  retries 0
  timeout connect 5s
  timeout client 8s
  timeout server 8s
  timeout tunnel 7s
"""
KERNEL = (  # with which loopback gives one answer
    *("fc_rtt ge 0", "fc_rtt lt 1000", "fc_rtt(ms) gt 1000", "fc_rtt(us) gt 0", "fc_rtt(us) lt 1"),
    *("fc_rttvar(us) gt 0", "fc_rttvar lt 1000", "fc_unacked eq 0", "fc_sacked eq 0"),
    *("fc_retrans eq 0", "fc_fackets eq 0", "fc_lost eq 0", "fc_reordering eq 3"),
    *("fc_reordering gt 3", "fc_lost gt 0"),
)
CLIENTS = (
    *("src_is_local", "dst_is_local", "fc_src_is_local", "fc_dst_is_local", "fc_rcvd_proxy"),
    *("fc_src 127.1.0.0/16", "fc_src 127.0.0.2", "fc_dst 127.0.0.0/8", "fc_src_port gt 1023"),
    *("fc_dst_port gt 1023", "fc_dst_port lt 80", "dst_conn ge 1", "dst_conn gt 90"),
    *("so_id eq 1", "so_id gt 1", "so_name -m found", "so_name -m str way", "fe_name -m str <me>"),
    *("fe_name -m str f", "fe_defbe -m found", "fe_client_timeout eq 8000", "fe_id lt 40"),
    *("fe_client_timeout gt 8000", "thread ge 0", "thread gt 1000", "fc_err eq 0"),
    *("fe_conn ge 1", "fe_conn gt 90"),
)
MOMENTS = (
    *("stopping", "date gt 1700000000", "date(-100) gt 99999999999", "date(0,ms) gt 1700000000000"),
    *("date_us lt 1000000", "date_us ge 1000000", "nbproc eq 1", "proc eq 1", "proc gt 1"),
    *("rand(1) eq 0", "rand(1) gt 0", "rand lt 4294967296", "uuid -m len 36", "uuid(4) -m len 35"),
    *("hostname -m found", "env(PATH) -m found", "env(NOT_THERE) -m found", "meth(GET) -m str GET"),
    *("int(3) eq 3", "int(3) gt 3", "int(-3),neg eq 3", "str(aBc),upper -m str ABC", "bool(true)"),
    *("bool(0)", "bin(6162),hex -m str 6162", "bin(6162) -m bin 6163", "ipv4(10.1.2.3) 10.0.0.0/8"),
    *("ipv6(2001:db8::1) 2001:db8::/32", "ipv6(::1) 127.0.0.1", "fe_req_rate eq 0"),
    *("str(x) -m str y", "always_true", "always_false"),
)
STATES = (
    *("nbsrv eq 2", "nbsrv gt 2", "nbsrv(<me>) eq 2", "queue eq 0", "queue gt 0", "avg_queue eq 0"),
    *("avg_queue(<me>) gt 0", "be_conn ge 0", "be_conn(<me>) gt 90", "be_conn_free ge 8"),
    *("be_conn_free gt 15", "be_conn_free lt 8", "connslots eq 37", "connslots lt 37"),
    *("connslots gt 37", "srv_conn(s1) ge 0", "srv_conn_free(s1) ge 0", "srv_conn_free(s1) gt 5"),
    *("srv_conn_free(<me>/s2) eq 10", "srv_queue(s1) eq 0", "srv_weight(s1) eq 30"),
    *(
        "srv_weight(s3) eq 0",
        "srv_weight(s3) gt 0",
        "srv_uweight(s3) eq 70",
        "srv_iweight(s2) eq 1",
    ),
    *("srv_uweight(s1) gt 30", "srv_is_up(s1)", "srv_is_up(s3)", "be_sess_rate ge 1"),
    *("be_sess_rate gt 90000", "fe_sess_rate ge 1", "fe_sess_rate gt 90000"),
)
OWN = (  # of a backend
    *("be_name -m str <me>", "be_name -m str x", "be_id gt 0", "be_server_timeout eq 8000"),
    *("be_server_timeout gt 8000", "be_tunnel_timeout eq 7000", "be_server_timeout lt 9"),
    *("be_tunnel_timeout lt 9", "be_id gt 4000"),
)
OF_SERVERS = (
    *(
        "srv_id eq 7",
        "srv_id eq 1",
        "srv_name -m str s1",
        "srv_name -m str s2",
        "bc_src -m ip 127.0.0.1",
    ),
    *(
        "bc_dst -m ip 127.0.0.1",
        "bc_dst -m ip 127.0.0.2",
        "bc_dst_port gt 1023",
        "bc_src_port lt 80",
    ),
    "bc_err eq 0",
)
SERVERS = """\
  server s1 <s1> weight 30 maxconn 5 maxqueue 7 id 7
  server s5 <s1> weight 0 maxconn 10 maxqueue 15
  server s2 <s2> maxconn 10 maxqueue 15
  server s3 <s2> weight 70 maxconn 10 maxqueue 20 disabled
  use-server s1 if {{ always_true }}
"""
PLAIN = "  server s1 <s1> id 7\n"
HEADED = (
    *("fc_src_is_local", "fc_dst_is_local", "fc_dst 127.0.0.0/8", "fc_src_port gt 9"),
    *("fc_rcvd_proxy", "src_is_local", "dst_is_local", "fc_src 192.0.0.0/16", "fc_src 127.0.0.1"),
    *("fc_dst_port eq 10", "fc_src_port eq 9", "fc_dst 192.0.9.9", "fc_dst 127.0.0.1"),
)
REQUEST, RESPONSE = "tcp-request content", "tcp-response content"
STAGES: dict[str, tuple[str, Sequence[str], str]] = {  # the rule, conditions, the servers
    "connection": ("tcp-request connection", (*CLIENTS, *MOMENTS), PLAIN),
    "session": ("tcp-request session", CLIENTS, PLAIN),
    "content": (REQUEST, (*KERNEL, *CLIENTS, *OWN), PLAIN),
    "answers": (RESPONSE, (*KERNEL, *CLIENTS, *OWN, *OF_SERVERS), PLAIN),
    "states": (REQUEST, STATES, SERVERS),
    "states_of_answers": (RESPONSE, STATES, SERVERS),
    "behind": (REQUEST, (*OWN, "fe_defbe -m str <me>", "fe_name -m str <me>"), PLAIN),
    "behind_answers": (RESPONSE, (*OWN, *OF_SERVERS, "fe_defbe -m str <me>"), PLAIN),
    "headed": ("tcp-request session", HEADED, PLAIN),
}


def source(name: str, number: int) -> str:
    """Where the client of a condition comes from, or says that it does."""
    network = "192.0" if name == "headed" else "127.1"
    return f"{network}.{number // 200}.{number % 200 + 1}"


def section(name: str, port: int) -> str:
    """A section whose rules refuse the clients of those conditions that hold."""
    rule, conditions, servers = STAGES[name]
    rules = "".join(
        f"  {rule} reject if {{{{ src {source(name, number)} }}}} {{{{ {condition} }}}}\n"
        for number, condition in enumerate(conditions)
    ).replace("<me>", name)
    bind = f"  bind 127.0.0.1:{port} name way\n"
    if name == "headed":
        bind += "  tcp-request connection expect-proxy layer4\n"
    if name.startswith("behind"):
        front = f"frontend {name}_front\n{bind}  default_backend {name}\n"
        return f"{front}backend {name}\n{rules}{servers}"
    return f"listen {name}\n{bind}{rules}{servers}"


def is_refused(name: str, number: int, port: int) -> bool:
    """Whether a client gets no answer of a server."""
    hello = b"hello"
    with socket.socket() as client, suppress(ConnectionError):
        client.settimeout(PATIENCE_SECONDS)
        if name == "headed":
            hello = f"PROXY TCP4 {source(name, number)} 192.0.9.9 9 10\r\nhello".encode()
        else:
            client.bind((source(name, number), 0))
        client.connect(("127.0.0.1", port))
        client.sendall(hello)
        heard = b""
        while not heard.endswith(b"hello"):
            received = client.recv(65_536)
            if not received:
                return True
            heard += received
        return False
    return True


def refused(program: str, folder: Path, names: dict[str, str]) -> set[str]:
    """The conditions that hold, with their stages."""
    ports = {name: free_port() for name in STAGES}
    text = HEAD + "".join(section(name, port) for name, port in ports.items())
    for name, value in names.items():
        text = text.replace(name, value)
    with one_program(PROGRAMS[program](), folder, text, {}):
        return {
            f"{name}: {condition}"
            for name, (_, conditions, _) in STAGES.items()
            for number, condition in enumerate(conditions)
            if is_refused(name, number, ports[name])
        }


def test_conditions_hold_where_haproxys_do(tmp_path: Path) -> None:
    with serving() as servers:
        names = {f"<{name.lower()}>": f"127.0.0.1:{port}" for name, port in servers.ports.items()}
        found = {
            program: refused(program, tmp_path / program, names)
            for program in ("haproxy", "millrace")
        }
    assert found["millrace"] - found["haproxy"] == set()
    assert found["haproxy"] - found["millrace"] == set()
    count = sum(len(conditions) for _, conditions, _ in STAGES.values())
    assert 0.3 < len(found["haproxy"]) / count < 0.7
