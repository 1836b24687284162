"""Programs that operators drive HAProxy with: haproxytool (on haproxyadmin) and haproxy-cli.

Each real tool is given the socket of Debian's HAProxy and that of Millrace, both on the same file,
and has to say and do the same with both.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.common import require_program
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program

pytestmark = pytest.mark.quiet  # haproxyadmin waits a second for an answer, and gives up then
CONFIGURATION = """
global
  stats socket {folder}/s level admin
  nbthread 1
  maxconn 900
  node edge
  {name}
  description two words
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend fe
  bind unix@{folder}/fe
  maxconn 10
  acl known src -f {folder}.known
  acl mapped src,map({folder}.map) -m found
  tcp-request connection accept if known mapped
  default_backend be
frontend gone
  bind unix@{folder}/gone
listen li
  bind unix@{folder}/li
  server l1 127.0.0.1:9 disabled
backend be
  server s1 127.0.0.1:9 weight 7
  server s2 127.0.0.1:9 backup
  server s3 127.0.0.1:9 disabled
backend other
  server s1 127.0.0.1:10 weight 20 maxconn 5
"""

NAMES = {"haproxy": "", "millrace": "product-name HAProxy"}  # haproxyadmin talks to no other


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, OneProgram]]:
    folder = tmp_path_factory.mktemp("tools")
    for name in PROGRAMS:
        (folder / f"{name}.known").write_text("10.0.0.1\n10.0.0.2\n")
        (folder / f"{name}.map").write_text("10.0.0.1 one\n10.0.0.2 two\n")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                one_program(
                    command(), folder / name, CONFIGURATION.replace("{name}", NAMES[name]), {}
                )
            )
            for name, command in PROGRAMS.items()
        }


def run(tool: str, words: str, made: OneProgram) -> tuple[int, list[str]]:
    """The status of a tool and what it says, without what differs from run to run."""
    done = subprocess.run(
        [require_program(tool), *words.replace("{folder}", str(made.folder)).split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
        text=True,
    )
    text = done.stdout.replace(str(made.folder), "<folder>")
    return done.returncode, text.splitlines()


def haproxytool(words: str, made: OneProgram) -> tuple[int, list[str]]:
    family, _, rest = words.partition(" ")
    return run("haproxytool", f"{family} -F {{folder}}/s {rest}", made)


MOMENT = re.compile(r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\.\d{3}")
ADDRESS = re.compile(r"^0x[0-9a-f]+ ")  # of an entry: with it `del acl` finds it again
INTERNAL = re.compile(r"'httpclient' line 0")  # acls that HAProxy has for itself


def shown(said: tuple[int, list[str]]) -> tuple[int, list[str]]:
    """Without moments, addresses in memory and what is HAProxy's own."""
    status, lines = said
    kept = (line for line in lines if not INTERNAL.search(line))
    return status, [MOMENT.sub("<moment>", ADDRESS.sub("<entry> ", line)) for line in kept]


# in this order: later ones see what former ones did
ORDERS = {
    "haproxy": (
        *("-a", "-A", "-C", "-e", "-M", "-o", "-m Maxconn", "-m CurrConns", "-m nope"),
        *("-w maxconn 800", "-m Maxconn", "-w ratelimitconn 50", "-m ConnRateLimit"),
        *("-w ratelimitsess 60", "-m SessRateLimit", "-o", "-w maxconn bla", "-w maxconn 900"),
        *("-w ratelimitconn 0", "-w ratelimitsess 0", "-o", "-m SslRateLimit"),
    ),
    "frontend": (
        *("-c", "-r", "-s", "-o", "-e", "-p", "-i", "-l", "-M", "-m slim", "-m slim fe"),
        *("-w maxconn 7 fe", "-m slim fe", "-w maxconn 10 fe", "-w maxconn x fe", "-s fe nope"),
        *("-f -d fe", "-s", "-f -d fe", "-e", "-f -t gone", "-s", "-f -t gone", "-f -d gone"),
    ),
    "backend": (
        *("-S", "-r", "-p", "-s", "-i", "-l", "-M", "-m act", "-m bck", "-m scur be"),
        *("-S be", "-m status other nope"),
    ),
    "server": (
        *("-A", "-r", "-s", "-R", "-p", "-W", "-i", "-c", "-C", "-S", "-X", "-l", "-M"),
        *("-m weight", "-m slim --backend=other", "-s --backend=be s1 s3", "-s nope"),
        *("-w 30 --backend=other s1", "-W", "-w 300 --backend=other s1", "-w bla --backend=be"),
        *("-d --backend=be s1", "-s", "-e --backend=be s1", "-s", "-f -n --backend=be s1", "-s"),
        *("-f -t --backend=be s1", "-s", "-R --backend=be s1", "-s"),
        *("-a 127.0.0.3 --backend=be s1", "-A", "-a nonsense --backend=be s1"),
        *("-x 99 --backend=be s1", "-X", "-x 9 --backend=be s1"),
        *("-a 127.0.0.1 --backend=be s1", "-a 127.0.0.1 --backend=be s1"),
    ),
    "dump": ("", "-f", "-b", "-s", "-h"),
    "map": (
        *("-l", "-s {folder}.map", "-g {folder}.map 10.0.0.1", "-g 0 10.9.9.9"),
        *("-S {folder}.map 10.0.0.1 uno", "-A {folder}.map 10.0.0.3 three", "-s {folder}.map"),
        *("-d {folder}.map 10.0.0.3", "-d {folder}.map 10.0.0.9", "-s {folder}.map"),
        *("-c {folder}.map", "-s {folder}.map", "-s nope", "-A nope a b"),
    ),
    "acl": (
        *("-l", "-s {folder}.known", "-A {folder}.known 10.0.0.9", "-g {folder}.known 10.0.0.9"),
        *("-g {folder}.known 10.8.8.8", "-d {folder}.known 10.0.0.9", "-s {folder}.known"),
        *("-c {folder}.known", "-s {folder}.known", "-s nope", "-d nope 1.1.1.1"),
    ),
}


@pytest.mark.parametrize("family", ORDERS)
def test_haproxytool_finds_no_difference(programs: dict[str, OneProgram], family: str) -> None:
    for words in ORDERS[family]:
        theirs, ours = (shown(haproxytool(f"{family} {words}", made)) for made in programs.values())
        assert ours == theirs, words


def test_haproxytool_reads_what_differs(programs: dict[str, OneProgram]) -> None:
    made = programs["millrace"]
    info = dict(line.split(": ", 1) for line in made.ask("show info").splitlines() if line)
    assert haproxytool("haproxy -V", made) == (0, [info["Version"]])
    assert haproxytool("haproxy -R", made) == (0, [info["Release_date"]])
    assert haproxytool("haproxy -p", made) == (0, [info["Pid"]])
    assert int(haproxytool("haproxy -u", made)[1][0]) >= int(info["Uptime_sec"])
    for words, text in (("haproxy -i", "Nbthread: 1"), ("haproxy -c help", "Process number: 1")):
        status, lines = haproxytool(words, made)
        assert status == 0
        assert text in lines


def test_no_tls_means_no_limit_of_tls(programs: dict[str, OneProgram]) -> None:
    """The one order that HAProxy takes and Millrace cannot obey is refused."""
    status, lines = haproxytool("haproxy -w ratelimitsslsess 10", programs["millrace"])
    assert (status, lines[0]) == (1, "failed with error: 'set rate-limit' only supports :")


CLI = (
    *("frontends", "backends", "servers -b be", "servers -b nope", "get-weight -b be -s s1"),
    *("set-weight -b be -s s1 -w 9", "get-weight -b be -s s1", "get-weight -b be -s nope"),
    *("disable -b be -s s1", "servers -b be", "enable -b be -s s1", "servers -b be"),
    *("disable -b be -s nope", "set-weight -b be -s s1 -w 900", "set-weight -b be -s s1 -w 7"),
)


def test_haproxy_cli_finds_no_difference(programs: dict[str, OneProgram]) -> None:
    for words in CLI:
        theirs, ours = (
            run("haproxy-cli", f"-k {{folder}}/s -c {words}", made) for made in programs.values()
        )
        assert ours == theirs, words
    for words in ("info", "sessions"):
        for made in programs.values():
            status, lines = run("haproxy-cli", f"-k {{folder}}/s -c {words}", made)
            assert (status, bool(lines)) == (0, True)
