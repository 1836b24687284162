"""What is known of the servers outlives kill -9 of everything: server state files, end to end.

The nameserver is silent at the second start, so every address must come from the file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from resolverd.state_file.format import StateFileError, parse
from shm.standing import RMAINT
from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.control.site import ask, haproxy
from tests.support.dns.scripted import SILENT, Answer, ScriptedNameserver, records
from tests.support.program.program import NamedBackend, Program, who_answers

pytestmark = pytest.mark.slow

HOLD_S = 2.5
ADDRESSES = ("127.61.1.1", "127.61.1.2")
RUN_S = 4.0  # a run that fails, the pause before the next, and a busy machine
NOBODY = 65_534
OF_SILENCE = ("No valid answer", "has answered none")  # warnings that it brings in time
LABEL = "_web._tcp.app.test"


class Site:
    """A folder, a scripted nameserver, two backends on one port, and configurations for them."""

    def __init__(self, folder: Path, nameserver: ScriptedNameserver) -> None:
        self.folder = folder
        self.nameserver = nameserver
        self.frontend = ("127.0.0.1", free_port())
        self.backends = [NamedBackend(ADDRESSES[0], 0)]
        self.port = self.backends[0].port
        self.backends.append(NamedBackend(ADDRESSES[1], self.port))
        self.state = folder / "state" / "servers"
        self.state.parent.mkdir()
        self.speak()

    def speak(self) -> None:
        """Both names have their records."""
        self.nameserver.set("app.test", "A", records(*ADDRESSES))
        self.nameserver.set(
            LABEL,
            "SRV",
            Answer(
                (f"0 255 {self.port} h1.test.", f"0 511 {self.port} h2.test."),
                additional=tuple(
                    f"h{number}.test. 0 IN A {address}"
                    for number, address in enumerate(ADDRESSES, 1)
                ),
            ),
        )

    def silence(self) -> None:
        """The nameserver answers nothing any more."""
        for name in ("app.test", LABEL, "h1.test", "h2.test"):
            self.nameserver.set(name, "*", SILENT)

    def sections(self, what: str = "") -> str:
        """Everything but the global section; HAProxy reads it, too."""
        what = what or f"app.test:{self.port}"
        return f"""
defaults
  mode tcp
  timeout connect 1s
  timeout client 600s
  timeout server 600s
  load-server-state-from-file global
resolvers r1
  nameserver n1 {self.nameserver.address}
  timeout resolve 200ms
  timeout retry 100ms
  hold timeout {round(HOLD_S * 1000)}ms
listen be
  bind {self.frontend[0]}:{self.frontend[1]}
  balance roundrobin
  server-template s 3 {what} resolvers r1 init-addr last,none resolve-prefer ipv4 weight 10
"""

    def configuration(self, what: str = "", state: Path | str = "") -> str:
        path = state or self.state
        return (
            "global\n  nbthread 2\n  stats socket {socket} level admin\n"
            f"  server-state-file {path}\n{self.sections(what)}"
        )

    def program(self, what: str = "", state: Path | str = "", **more: tuple[str, ...]) -> Program:
        return Program(self.folder, self.configuration(what, state), **more)

    def wait_for_file(self, *addresses: str) -> None:
        """The file has exactly these addresses."""
        wait_for(lambda: addresses_in(self.state) == sorted(addresses), 10.0, "the file")

    def learn(self, what: str = "") -> None:
        """Run once with answers, and kill everything as soon as the file knows them."""
        program = self.program(what)
        self.wait_for_file(*ADDRESSES)
        kill_everything(program)
        self.silence()

    def close(self) -> None:
        for backend in self.backends:
            backend.close()


def addresses_in(path: Path) -> list[str]:
    if not path.exists():
        return []
    with suppress(StateFileError):  # it is cut off until it is written anew
        return sorted(row.address for row in parse(path.read_bytes()).values() if row.address)
    return []


def all_out(path: Path) -> bool:
    """Whether no server of the file had an address when it was written."""
    return all(row.admin & RMAINT for row in parse(path.read_bytes()).values())


def kill_everything(program: Program) -> None:
    """SIGKILL to all of them at once, in any order."""
    children = [pid for pids in program.children().values() for pid in pids]
    for pid in (*children, program.process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    program.process.wait()
    wait_for(lambda: not any(is_running(pid) for pid in children), 5.0, "the end of the children")


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ScriptedNameserver() as nameserver:
        made = Site(tmp_path, nameserver)
        try:
            yield made
        finally:
            made.close()


def answers(site: Site, connections: int = 4) -> set[str | None]:
    return {who_answers(site.frontend) for _ in range(connections)}


def test_addresses_outlive_kill_9_and_stay_until_hold_timeout(site: Site) -> None:
    site.learn()
    for outage in ("first", "second"):  # errors take the addresses away, but not from the file
        begun = time.monotonic()
        with site.program():
            ready = time.monotonic()
            assert who_answers(site.frontend) in ADDRESSES, f"{outage} start"
            assert answers(site) == set(ADDRESSES)
            wait_for(lambda: who_answers(site.frontend) is None, HOLD_S + RUN_S + 2, "the hold")
            gone = time.monotonic()
            assert gone - begun >= HOLD_S
            assert gone - ready <= HOLD_S + RUN_S
            wait_for(lambda: all_out(site.state), 5.0, "a file written after the loss")
        assert addresses_in(site.state) == sorted(ADDRESSES)


def test_slots_of_srv_records_outlive_kill_9_with_ports_and_weights(site: Site) -> None:
    site.learn(LABEL)
    begun = time.monotonic()
    with site.program(LABEL) as program:
        assert who_answers(site.frontend) in ADDRESSES
        rows = program.servers("be").values()
        found = {
            (row["srv_fqdn"], row["srv_addr"], int(row["srv_port"]), int(row["srv_uweight"]))
            for row in rows
            if row["srv_addr"] != "-"
        }
        assert found == {
            ("h1.test", ADDRESSES[0], site.port, 1),
            ("h2.test", ADDRESSES[1], site.port, 2),
        }
        wait_for(lambda: who_answers(site.frontend) is None, HOLD_S + RUN_S + 2, "the hold")
        assert time.monotonic() - begun >= HOLD_S
        wait_for(lambda: all_out(site.state), 5.0, "a file written after the loss")
        assert addresses_in(site.state) == sorted(ADDRESSES)
        site.speak()
        wait_for(lambda: answers(site) == set(ADDRESSES), 10.0, "answers again")


def test_slots_that_no_answer_confirms_are_freed_within_a_round(site: Site) -> None:
    """S54: the record has gone while no process ran."""
    site.learn(LABEL)
    only = f"0 255 {site.port} h2.test."
    site.nameserver.set(
        LABEL, "SRV", Answer((only,), additional=(f"h2.test. 0 IN A {ADDRESSES[1]}",))
    )
    with site.program(LABEL):
        wait_for(lambda: answers(site) == {ADDRESSES[1]}, 5.0, "the other slot is free")
        site.wait_for_file(ADDRESSES[1])


def test_what_valid_answers_take_away_goes_from_the_file(site: Site) -> None:
    with site.program():
        site.wait_for_file(*ADDRESSES)
        site.nameserver.set("app.test", "A", records(ADDRESSES[1]))
        site.wait_for_file(ADDRESSES[1])


def test_orders_of_the_operator_outlive_kill_9(site: Site) -> None:
    program = site.program()
    site.wait_for_file(*ADDRESSES)
    names = [name for name, row in program.servers("be").items() if row["srv_addr"] != "-"]
    program.ask(f"set server be/{names[0]} state maint")
    program.ask(f"set server be/{names[1]} weight 70")
    wait_for(lambda: " 2 0 70 10 " in site.state.read_text(), 5.0, "the weight in the file")
    wait_for(lambda: " 0 1 10 10 " in site.state.read_text(), 5.0, "the state in the file")
    kill_everything(program)
    site.silence()
    with site.program() as program:
        rows = program.servers("be")
        assert rows[names[0]]["srv_admin_state"] == "1"
        assert rows[names[1]]["srv_uweight"] == "70"
        assert answers(site) == {rows[names[1]]["srv_addr"]}


@pytest.mark.parametrize("cut", [10, 40])
def test_a_file_cut_off_is_one_warning(site: Site, cut: int) -> None:
    site.learn()
    content = site.state.read_bytes()
    site.state.write_bytes(content[:-cut])
    with site.program() as program:
        said = program.output.read_text()
        assert said.count("the last line is not complete") == 1
        line = content.count(b"\n")
        assert f"config: [{site.state}:{line}] : the last line is not complete" in said
        assert who_answers(site.frontend) is None
        site.speak()
        wait_for(lambda: answers(site) == set(ADDRESSES), 10.0, "answers")
        site.wait_for_file(*ADDRESSES)


def test_a_place_below_a_file_is_one_warning(site: Site) -> None:
    blocker = site.folder / "blocker"
    blocker.write_text("")
    with site.program(state=blocker / "servers") as program:
        wait_for(lambda: answers(site) == set(ADDRESSES), 10.0, "answers")
        wait_for(lambda: "cannot be written" in program.output.read_text(), 5.0, "the warning")
        assert program.output.read_text().count("[WARNING]") == 1
        assert "[NOTICE]" in program.output.read_text(), "there is no file to load"


def test_a_read_only_folder_is_read_and_is_one_warning(site: Site) -> None:
    site.learn()
    content = site.state.read_bytes()
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    wrapper = (require_program("unshare"), "--mount", "sh", "-c", script, str(site.state.parent))
    if subprocess.run((*wrapper, "true"), capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to make a mount namespace")
    with site.program(wrapper=wrapper) as program:
        assert who_answers(site.frontend) in ADDRESSES
        wait_for(lambda: who_answers(site.frontend) is None, HOLD_S + RUN_S + 2, "the hold")
        wait_for(lambda: "cannot be written" in program.output.read_text(), 5.0, "the warning")
        said = program.output.read_text()
        assert f"'{site.state}' cannot be written: Read-only file system." in said
        assert said.count("cannot be written") == 1
    assert site.state.read_bytes() == content


@pytest.mark.parametrize("what", ["", LABEL])
def test_a_file_of_haproxy_is_taken(site: Site, what: str) -> None:
    sections = site.sections(what).replace("load-server-state-from-file global", "")
    with haproxy(sections, site.folder) as path:

        def dump() -> bool:
            site.state.write_text(ask(path, "show servers state be"))
            return addresses_in(site.state) == sorted(ADDRESSES)

        wait_for(dump, 10.0, "HAProxy's servers")
    site.silence()
    with site.program(what) as program:
        assert who_answers(site.frontend) in ADDRESSES
        assert answers(site) == set(ADDRESSES)
        said = program.output.read_text().splitlines()
        warnings = [line for line in said if "[WARNING]" in line]
        assert [line for line in warnings if not any(map(line.__contains__, OF_SILENCE))] == []


@pytest.mark.parametrize("what", ["", LABEL])
def test_haproxy_takes_a_file_of_ours(site: Site, what: str) -> None:
    site.learn(what)
    with haproxy(f"  server-state-file {site.state}\n{site.sections(what)}", site.folder):
        assert answers(site) == set(ADDRESSES)
    said = (site.folder / "haproxy.log").read_text()
    assert "server state file" not in said
    assert "corrupted" not in said


def test_a_check_of_the_configuration_reads_and_does_not_write(site: Site) -> None:
    site.learn()
    before = site.state.stat()
    content = site.state.read_bytes()
    program = Program(site.folder, site.configuration(), "-c", wait=False)
    assert program.process.wait(PATIENCE_SECONDS) == 0
    assert (site.state.stat().st_ino, site.state.read_bytes()) == (before.st_ino, content)


def test_a_reload_goes_on_writing_and_forgets_no_address(site: Site) -> None:
    with site.program() as program:
        site.wait_for_file(*ADDRESSES)
        site.silence()
        more = site.configuration() + f"\nbackend more\n  server x 127.0.0.1:{site.port}\n"
        program.write(more)
        program.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: "reload done" in program.output.read_text(), 10.0, "the reload")
        assert who_answers(site.frontend) in ADDRESSES
        wait_for(lambda: " more " in site.state.read_text(), 5.0, "a row of the new backend")
        assert set(ADDRESSES) <= set(addresses_in(site.state))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change its root directory")
def test_the_file_is_kept_from_behind_a_chroot(site: Site) -> None:
    """Its folder belongs to the user that resolverd becomes, and lies outside of its root."""
    jail = site.folder / "jail"
    jail.mkdir()
    os.chown(site.state.parent, NOBODY, NOBODY)
    lines = f"global\n  chroot {jail}\n  uid {NOBODY}\n  gid {NOBODY}\n"
    with Program(site.folder, site.configuration().replace("global\n", lines, 1)):
        site.wait_for_file(*ADDRESSES)
        site.nameserver.set("app.test", "A", records(ADDRESSES[1]))
        site.wait_for_file(ADDRESSES[1])
    assert site.state.stat().st_uid == NOBODY
    assert list(jail.iterdir()) == []
