"""What a resolv.conf means: as libc reads it (resolv.conf(5))."""

from __future__ import annotations

import pytest

from resolverd.resolv_conf.file import NDOTS_MAX, SEARCH_MAX, ResolvConf, parse_resolv_conf

KUBERNETES = """\
search shop.svc.cluster.local svc.cluster.local cluster.local
nameserver 10.96.0.10
options ndots:5
"""


def test_a_pod_in_kubernetes() -> None:
    assert parse_resolv_conf(KUBERNETES) == ResolvConf(
        ("10.96.0.10",), ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local"), 5
    )


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("search a.test b.test\ndomain c.test\n", ("c.test",)),
        ("domain c.test\nsearch a.test b.test\n", ("a.test", "b.test")),
        ("domain c.test d.test\n", ("c.test",)),
        ("search A.Test. .\n", ("a.test", "")),
        ("search a..test b.test ä.test\n", ("b.test",)),
        ("search\n", ()),
        ("# search a.test\n;search a.test\n", ()),
        (" search a.test\n", ("a.test",)),
        ("search a.test a.test\n", ("a.test",)),
    ],
)
def test_the_last_list_counts(text: str, search: tuple[str, ...]) -> None:
    assert parse_resolv_conf(text).search == search


@pytest.mark.parametrize(
    ("options", "ndots"),
    [
        ("ndots:0", 0),
        ("timeout:1 ndots:3 attempts:1", 3),
        ("ndots:2\noptions ndots:4", 4),
        (f"ndots:{NDOTS_MAX}", NDOTS_MAX),
        (f"ndots:{NDOTS_MAX + 1}", NDOTS_MAX),
        ("ndots:", 1),
        ("ndots:x", 1),
        ("ndots:-1", 1),
    ],
)
def test_ndots(options: str, ndots: int) -> None:
    assert parse_resolv_conf(f"options {options}\n").ndots == ndots


def test_more_domains_than_anybody_writes_are_left_out() -> None:
    domains = [f"d{number}.test" for number in range(SEARCH_MAX + 1)]
    found = parse_resolv_conf(f"search {' '.join(domains)}\n").search
    assert found == tuple(domains[:SEARCH_MAX])


def test_nameservers_each_once_and_no_nonsense() -> None:
    text = "nameserver 127.0.0.1\nnameserver ::1\nnameserver x\nnameserver\nnameserver 127.0.0.1\n"
    assert parse_resolv_conf(text).nameservers == ("127.0.0.1", "::1")


def test_link_local_nameservers_name_their_interface() -> None:
    text = "".join(
        f"nameserver {each}\n"
        for each in ("fe80::1%eth0", "fe80::2%ä", f"fe80::3%{'x' * 300}", "fe80::4", "nobody")
    )
    assert parse_resolv_conf(text).nameservers == ("fe80::1%eth0", "fe80::4")
