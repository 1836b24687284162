"""Findings 48 to 55: what a state file restores is resolved like everything else, and never stale."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from resolverd.state_file.format import HEADER, StateRow, parse, render
from shm.standing import RMAINT
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.dns.scripted import SILENT, records, services
from tests.support.program.program import Program
from tests.support.program.site import Site

pytestmark = pytest.mark.slow

LABEL = "_web._tcp.app.test"
NAMED = "server s1 app.test:{port} resolvers r1 init-addr last,none"
TEMPLATE = "server-template s 3 _web._tcp.app.test resolvers r1 init-addr last,none"


class StateSite(Site):
    """A site whose backend loads a state file; four servers."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack, "127.0.48")
        self.file = folder / "states"
        self.one, self.two, self.three, self.four = (self.serve(last) for last in (1, 2, 3, 4))

    def restore(self, *rows: StateRow) -> None:
        """What the file says before the start."""
        self.file.write_text(HEADER + "".join(render(row, 60) for row in rows))

    def row(self, address: str | None, fqdn: str, number: int = 1, **more: object) -> StateRow:
        return StateRow(
            2, "edge", number, f"s{number}", address, fqdn=fqdn, port=self.port, **more
        )  # fmt: skip

    def run(self, servers: str, **parts: str) -> Program:
        return self.start(
            servers,
            globally=f"    server-state-file {self.file}",
            defaults="    load-server-state-from-file global",
            **parts,
        )

    def held(self) -> list[str]:
        """The addresses that the file has now."""
        return sorted(row.address for row in parse(self.file.read_bytes()).values() if row.address)

    def silence(self, *names: str) -> None:
        for name in names or ("app.test", LABEL):
            self.nameserver.set(name, "*", SILENT)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[StateSite]:
    with ExitStack() as stack:
        yield StateSite(tmp_path, stack)


def test_finding_48_a_restored_name_is_resolved_again_at_start_and_at_reload(
    site: StateSite,
) -> None:
    site.restore(site.row(site.one, "app.test"))
    site.silence()
    site.run(NAMED)
    assert site.answering() == {site.one}
    site.nameserver.set("app.test", "A", site.two)
    site.wait_answering(site.two)
    site.restore(site.row(site.one, "app.test"))  # a reload takes nothing of what was before
    site.reload()
    assert site.answering() == {site.two}
    site.nameserver.set("app.test", "A", site.three)
    site.wait_answering(site.three)


def test_finding_49_restored_slots_of_a_template_follow_the_answers(site: StateSite) -> None:
    site.restore(
        site.row(site.one, "h1.test", 1, service=LABEL),
        site.row(site.two, "h2.test", 2, service=LABEL),
    )
    site.silence()
    site.run(TEMPLATE)
    assert site.answering() == {site.one, site.two}
    port = site.port
    site.nameserver.set(
        LABEL,
        "SRV",
        services(
            *(f"1 {port} h{number}.test" for number in (1, 2, 3)),
            h1_test=site.one, h2_test=site.three, h3_test=site.four,
        ),
    )  # fmt: skip
    rows = site.wait_states(site.one, site.three, site.four)
    assert [(rows[name]["srv_fqdn"], rows[name]["srv_addr"]) for name in ("s1", "s2", "s3")] == [
        ("h1.test", site.one),
        ("h2.test", site.three),
        ("h3.test", site.four),
    ]


def test_finding_50_a_server_that_was_out_for_dns_is_taken_from_the_file(site: StateSite) -> None:
    site.restore(
        site.row(site.one, "app.test", 1, admin=RMAINT, operational=0),
        site.row(None, "b.test", 2, admin=RMAINT, operational=0),
    )
    site.silence("app.test", "b.test")
    program = site.run(f"{NAMED}\n    server s2 b.test:{{port}} resolvers r1 init-addr last,none")
    said = program.output.read_text().splitlines()
    assert [line for line in said if "[WARNING]" in line and "No valid answer" not in line] == []
    assert site.answering() == {site.one}
    site.nameserver.set("b.test", "A", site.two)
    site.wait_answering(site.one, site.two)


def test_finding_51_rows_of_another_name_or_label_give_no_address(site: StateSite) -> None:
    site.restore(
        site.row(site.one, "former.test"),
        site.row(site.two, "h1.test", 2, service="_former._tcp.app.test"),
    )
    site.silence("app.test", LABEL, "h1.test", "former.test")
    label = f"server s2 {LABEL} resolvers r1 init-addr last,none"
    site.run(f"{NAMED}\n    {label}", pace="timeout resolve 100ms\n    hold timeout 0s")
    assert site.answering() == {None}
    site.nameserver.set("app.test", "A", site.three)
    site.nameserver.set(LABEL, "SRV", services(f"1 {site.port} h9.test", h9_test=site.four))
    rows = site.wait_states(site.three, site.four)
    assert (rows["s1"]["srv_fqdn"], rows["s2"]["srv_fqdn"]) == ("app.test", "h9.test")
    wait_for(lambda: site.held() == [site.three, site.four], 10, "the file without the former ones")


def test_finding_52_reloads_make_no_duplicates(site: StateSite) -> None:
    site.nameserver.set("app.test", "A", records(site.one, site.two, site.three))
    site.run("server-template s 5 app.test:{port} resolvers r1 init-addr last,none")
    before = site.wait_states(site.one, site.two, site.three)
    wait_for(lambda: site.file.exists() and len(site.held()) == 3, PATIENCE_SECONDS, "the file")
    for _ in range(3):
        site.reload()
        after = site.program.servers("edge")
        assert {name: row["srv_addr"] for name, row in after.items()} == {
            name: row["srv_addr"] for name, row in before.items()
        }
    assert site.held() == [site.one, site.two, site.three]


def test_finding_53_the_file_follows_by_itself_and_a_restart_reads_it(site: StateSite) -> None:
    site.nameserver.set("app.test", "A", site.one)
    program = site.run(NAMED)
    site.wait_answering(site.one)
    site.nameserver.set("app.test", "A", site.two)
    wait_for(
        lambda: site.file.exists() and site.held() == [site.two],
        PATIENCE_SECONDS,
        "the next address",
    )
    site.silence()
    program.process.send_signal(signal.SIGKILL)
    program.process.wait()
    site.run(NAMED)
    assert site.answering() == {site.two}


def test_finding_54_what_no_answer_confirms_is_freed_after_one_round(site: StateSite) -> None:
    site.restore(
        site.row(site.one, "h1.test", 1, service=LABEL),
        site.row(site.two, "gone.test", 2, service=LABEL),
    )
    site.silence()
    site.run(TEMPLATE)
    assert site.answering() == {site.one, site.two}
    asked = len(site.nameserver.asked(LABEL))
    site.nameserver.set(LABEL, "SRV", services(f"1 {site.port} h1.test", h1_test=site.one))
    site.wait_answering(site.one)
    rounds = len(site.nameserver.asked(LABEL)) - asked
    assert rounds < 50, "a tenth of a second each: it took no hold of 30 s"
    assert site.wait_states(site.one)["s2"]["srv_admin_state"] == "96"


def test_finding_55_an_address_that_was_ordered_is_there_after_reload_and_restart(
    site: StateSite,
) -> None:
    site.nameserver.set("app.test", "A", site.one)
    program = site.run(NAMED)
    site.wait_answering(site.one)
    program.ask(f"set server edge/s1 addr {site.two}")
    site.wait_answering(site.two)
    site.reload()
    assert site.answering() == {site.two}
    wait_for(lambda: site.held() == [site.two], 10, "the ordered address in the file")
    site.silence()
    program.process.send_signal(signal.SIGKILL)
    program.process.wait()
    site.run(NAMED)
    assert site.answering() == {site.two}
