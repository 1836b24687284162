"""Which server a session gets: by turns, by load, by source; and how fast a change is seen."""

from __future__ import annotations

import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from proxy.config.model.settings import Balance, Endpoint, SocketFamily
from shm.states import AdminFlag
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.servers import Server, holding, named, receive_all, receive_count


@contextmanager
def named_servers(count: int, *, hold: bool = False) -> Iterator[list[Server]]:
    """Servers that say their number."""
    with ExitStack() as stack:
        handler = holding if hold else named
        yield [stack.enter_context(Server(handler(str(number)))) for number in range(count)]


def ask(relay: RelayUnderTest, times: int) -> Counter[str]:
    """Which servers answer so many connections, one after the other."""
    found: Counter[str] = Counter()
    for _ in range(times):
        with relay.connect() as client:
            found[receive_all(client).decode()] += 1
    return found


@pytest.mark.slow
def test_round_robin_is_exact_over_two_relays_with_weights() -> None:
    with named_servers(2) as (first, second):
        servers = [RelayServer(*first.address, 1), RelayServer(*second.address, 3)]
        with RelayUnderTest(servers, workers=2) as relay:
            assert ask(relay, 1_000) == {"0": 250, "1": 750}
            rows = [relay.counters(row=row)["accepts"] for row in range(2)]
            assert min(rows) > 100, f"both relays took part: {rows}"


def test_equal_weights_take_turns_in_the_order_of_the_file() -> None:
    with named_servers(3) as servers, RelayUnderTest([s.address for s in servers]) as relay:
        order = "".join(next(iter(ask(relay, 1))) for _ in range(9))
        assert order == "012012012"


def test_weights_are_spread_not_bunched() -> None:
    with named_servers(2) as (first, second):
        servers = [RelayServer(*first.address, 100), RelayServer(*second.address, 20)]
        with RelayUnderTest(servers) as relay:
            order = "".join(next(iter(ask(relay, 1))) for _ in range(24))
        assert order.count("1") == 4
        assert "11" not in order
        assert "000000" not in order


def test_a_large_backend_has_its_turns_at_once_after_changes() -> None:
    with named_servers(2) as (first, second):
        servers = [
            RelayServer(*(first if number % 2 else second).address, 1 + number % 7)
            for number in range(300)
        ]
        with RelayUnderTest(servers) as relay:
            total = sum(server.weight for server in servers)
            expected = sum(server.weight for server in servers if server.port == first.port)
            assert ask(relay, total)["0"] == expected
            for slot in range(300):
                if slot % 2:
                    relay.administer(slot, flags=AdminFlag.FDRAIN)
            assert ask(relay, 50) == {"1": 50}


def test_source_sticks_to_one_server_and_spreads_clients() -> None:
    with named_servers(4, hold=True) as servers:
        addresses = [server.address for server in servers]
        with RelayUnderTest(addresses, balance=Balance.SOURCE) as relay:
            seen = {}
            for number in range(1, 17):
                answers = set()
                for _ in range(3):
                    client = socket.socket()
                    client.settimeout(PATIENCE_SECONDS)
                    client.bind((f"127.0.7.{number}", 0))
                    client.connect(relay.address)
                    answers.add(receive_count(client, 1))
                    client.close()
                assert len(answers) == 1
                seen[number] = answers.pop()
            assert set(Counter(seen.values()).values()) == {4}


def test_leastconn_fills_the_emptiest_server_for_its_weight() -> None:
    with named_servers(3, hold=True) as servers:
        placed = [RelayServer(*s.address, w) for s, w in zip(servers, (1, 1, 2), strict=True)]
        with RelayUnderTest(placed, balance=Balance.LEASTCONN) as relay:
            clients = [relay.connect() for _ in range(8)]
            names = [receive_count(client, 1) for client in clients]
            assert Counter(names) == {b"0": 2, b"1": 2, b"2": 4}
            assert relay.hints() == [2, 2, 4]
            for client, name in zip(clients, names, strict=True):
                if name == b"1":
                    client.close()
            wait_for(lambda: relay.hints() == [2, 0, 4], 5, "the hints follow")
            more = [relay.connect() for _ in range(2)]
            assert [receive_count(client, 1) for client in more] == [b"1", b"1"]
            for client in clients + more:
                client.close()
            wait_for(lambda: relay.hints() == [0, 0, 0], 5, "the hints return to zero")


@pytest.mark.slow
def test_leastconn_takes_an_idle_server_that_comes_back_whatever_others_have() -> None:
    with named_servers(2, hold=True) as (first, second):
        nobody = [RelayServer(None, 0)] * 63  # the two are in different blocks of hints
        servers = [RelayServer(*first.address), *nobody, RelayServer(*second.address)]
        with RelayUnderTest(servers, balance=Balance.LEASTCONN) as relay, ExitStack() as stack:
            for flags, expected in ((AdminFlag.FMAINT, b"0"), (AdminFlag(0), b"1")):
                relay.administer(64, flags=flags)
                for _ in range(2 if flags else 1):
                    client = stack.enter_context(relay.connect())
                    assert receive_count(client, 1) == expected


def test_leastconn_counts_the_sessions_of_all_relays() -> None:
    with named_servers(4, hold=True) as servers:
        addresses = [server.address for server in servers]
        with RelayUnderTest(addresses, workers=2, balance=Balance.LEASTCONN) as relay:
            clients = []
            for _ in range(40):
                clients.append(relay.connect())
                receive_count(clients[-1], 1)
            assert relay.hints() == [10, 10, 10, 10]
            for client in clients:
                client.close()


def test_a_change_of_the_table_is_seen_by_the_next_accept() -> None:
    with (
        named_servers(3) as (first, second, third),
        RelayUnderTest([first.address, second.address]) as relay,
    ):
        assert ask(relay, 10) == {"0": 5, "1": 5}
        refreshes = relay.counters()["slot_refreshes"]
        assert ask(relay, 10) == {"0": 5, "1": 5}
        assert relay.counters()["slot_refreshes"] == refreshes, "nothing changed, all cached"
        relay.publish(0, *third.address)
        assert ask(relay, 10) == {"2": 5, "1": 5}
        relay.administer(1, flags=AdminFlag.FDRAIN)
        assert ask(relay, 5) == {"2": 5}
        relay.administer(1)
        relay.publish(0, None)
        assert ask(relay, 5) == {"1": 5}
        assert relay.counters()["slot_refreshes"] > refreshes


def test_a_weight_set_by_the_operator_changes_the_shares() -> None:
    with named_servers(2) as servers, RelayUnderTest([s.address for s in servers]) as relay:
        relay.administer(0, weight=4)
        relay.administer(1, weight=1)
        assert ask(relay, 50) == {"0": 40, "1": 10}


@pytest.mark.parametrize("allbackups", [False, True])
def test_backups_serve_only_when_nobody_else_can(allbackups: bool) -> None:
    with named_servers(3) as servers:
        placed = [RelayServer(*s.address, 1, number > 0) for number, s in enumerate(servers)]
        with RelayUnderTest(placed, allbackups=allbackups) as relay:
            assert ask(relay, 6) == {"0": 6}
            relay.administer(0, flags=AdminFlag.FMAINT)
            assert ask(relay, 6) == ({"1": 3, "2": 3} if allbackups else {"1": 6})
            relay.administer(0)
            assert ask(relay, 6) == {"0": 6}


@pytest.mark.slow
def test_a_killed_relay_takes_its_sessions_out_of_the_hints() -> None:
    with (
        named_servers(1, hold=True) as servers,
        RelayUnderTest([servers[0].address], workers=2) as relay,
    ):
        clients = [relay.connect() for _ in range(20)]
        for client in clients:
            receive_count(client, 1)
        killed = relay.counters("server", row=0)["sessions"]
        relay.signal(signal.SIGKILL, 0)
        wait_for(lambda: relay.exit_status(0) is not None, 5, "the relay is gone")
        relay.restart(0)
        assert relay.hints() == [20 - killed]
        assert relay.counters("server")["sessions"] == 20 - killed
        for client in clients:
            client.close()


def test_first_is_the_lowest_id_and_the_next_one_when_it_is_gone() -> None:
    with (
        named_servers(3) as servers,
        RelayUnderTest([s.address for s in servers], balance=Balance.FIRST) as relay,
    ):
        assert ask(relay, 10) == {"0": 10}
        relay.administer(0, flags=AdminFlag.FDRAIN)
        assert ask(relay, 10) == {"1": 10}
        relay.administer(0)
        assert ask(relay, 10) == {"0": 10}


def test_random_with_one_draw_follows_the_weights() -> None:
    with named_servers(2) as (first, second):
        servers = [RelayServer(*first.address, 1), RelayServer(*second.address, 4)]
        with RelayUnderTest(servers, balance=Balance.RANDOM, random_draws=1) as relay:
            found = ask(relay, 500)
            assert 350 < found["1"] < 450, "400 with a standard deviation of 9"


def test_random_with_many_draws_finds_the_emptiest_server() -> None:
    with named_servers(4, hold=True) as servers:
        addresses = [server.address for server in servers]
        with RelayUnderTest(addresses, balance=Balance.RANDOM, random_draws=64) as relay:
            clients = [relay.connect() for _ in range(40)]
            for client in clients:
                receive_count(client, 1)
            assert sorted(relay.hints()) == [10, 10, 10, 10]
            for client in clients:
                client.close()


def test_two_draws_are_better_than_one() -> None:
    spreads = {}
    with named_servers(10, hold=True) as servers:
        addresses = [server.address for server in servers]
        for draws in (1, 2):
            with RelayUnderTest(addresses, balance=Balance.RANDOM, random_draws=draws) as relay:
                clients = [relay.connect() for _ in range(200)]
                for client in clients:
                    receive_count(client, 1)
                spreads[draws] = max(relay.hints()) - min(relay.hints())
                for client in clients:
                    client.close()
    assert spreads[2] < spreads[1]


@pytest.mark.parametrize("consistent", [False, True])
def test_clients_without_an_address_take_turns(consistent: bool, tmp_path: Path) -> None:
    bind = Endpoint(SocketFamily.UNIX, str(tmp_path / "edge"))
    fields = {"balance": Balance.SOURCE, "hash_consistent": consistent}
    with (
        named_servers(3) as servers,
        RelayUnderTest([s.address for s in servers], binds=(bind,), **fields) as relay,
    ):
        found = ask(relay, 60)
        assert found.keys() == {"0", "1", "2"}
        assert consistent or set(found.values()) == {20}


def test_a_client_over_ipv6_has_its_server() -> None:
    bind = Endpoint(SocketFamily.IPV6, "::1")
    with named_servers(5) as servers:
        addresses = [server.address for server in servers]
        with RelayUnderTest(addresses, binds=(bind,), balance=Balance.SOURCE) as relay:
            assert ask(relay, 4) == {"1": 4}


@pytest.mark.slow
@pytest.mark.parametrize("balance", [Balance.ROUNDROBIN, Balance.STATIC_RR])
def test_turns_are_exact_over_two_relays_after_every_change(balance: Balance) -> None:
    with named_servers(4) as (first, second, third, fourth):
        servers = [RelayServer(*s.address, w) for s, w in ((first, 1), (second, 2), (third, 3))]
        with RelayUnderTest(servers, workers=2, balance=balance) as relay:
            assert ask(relay, 60) == {"0": 10, "1": 20, "2": 30}
            relay.publish(1, *fourth.address)  # as resolverd moves a server
            assert ask(relay, 60) == {"0": 10, "3": 20, "2": 30}
            relay.administer(0, flags=AdminFlag.FMAINT)
            assert ask(relay, 60) == {"3": 24, "2": 36}
            relay.administer(0, weight=5)
            if balance is Balance.ROUNDROBIN:
                assert ask(relay, 60) == {"0": 30, "3": 12, "2": 18}
            else:
                assert ask(relay, 60) == {"0": 10, "3": 20, "2": 30}
            assert min(relay.counters(row=row)["accepts"] for row in range(2)) > 0


PICKED = 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("balance", "consistent", "looks_max", "change_looks_max"),
    [
        (Balance.ROUNDROBIN, False, 1, 0),
        (Balance.STATIC_RR, False, 1, 0),
        (Balance.SOURCE, False, 1, 0),
        (Balance.SOURCE, True, 2 + 1, 16 * 13),  # its nodes, in a ring with gaps (test_ring.py)
        (Balance.FIRST, False, 1, 0),
        (Balance.RANDOM, False, 2, 0),
        # a word for each block of 64, and three blocks anew: of the last pick, of its end, slack
        (Balance.LEASTCONN, False, 157 + 4 * 64, 64),
    ],
)
def test_a_pick_looks_at_few_of_ten_thousand_servers(
    balance: Balance, consistent: bool, looks_max: int, change_looks_max: int
) -> None:
    with named_servers(1) as (server,):
        servers = [RelayServer(*server.address) for _ in range(10_000)]
        fields = {"balance": balance, "hash_consistent": consistent, "hash_avalanche": True}
        with RelayUnderTest(servers, **fields) as relay:
            ask(relay, 3)
            before = relay.counters()
            ask(relay, PICKED)
            between = relay.counters()
            assert between["pick_looks"] - before["pick_looks"] <= PICKED * looks_max
            for number in range(PICKED):
                relay.administer(number * 211, flags=AdminFlag.FMAINT)
                ask(relay, 1)
            after = relay.counters()
            assert after["schedule_builds"] == before["schedule_builds"]
            looked = after["pick_looks"] - between["pick_looks"]
            assert looked <= PICKED * (looks_max + change_looks_max)


def test_first_fills_a_server_before_it_takes_the_next() -> None:
    with named_servers(3, hold=True) as servers:
        placed = [RelayServer(*server.address, maxconn=2) for server in servers]
        with RelayUnderTest(placed, balance=Balance.FIRST) as relay:
            clients = [relay.connect() for _ in range(5)]
            assert [receive_count(client, 1) for client in clients] == [
                b"0",
                b"0",
                b"1",
                b"1",
                b"2",
            ]
            clients[1].close()
            wait_for(lambda: relay.hints() == [1, 2, 1], 5, "a place is free again")
            with relay.connect() as client:
                assert receive_count(client, 1) == b"0"
            for client in clients:
                client.close()
