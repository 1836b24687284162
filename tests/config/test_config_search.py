"""`resolve-opts search`, `search` and `ndots`: words, rows and the notice about short names."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.text.messages import Severity
from resolverd.resolv_conf.file import NDOTS_MAX, SEARCH_MAX
from tests.support.config.loading import load_text, only_alert, said, settings_of

PROXY = """
listen edge
    mode tcp
    bind 127.0.0.1:1
    timeout client 1s
    timeout connect 1s
    timeout server 1s
"""
RESOLVERS = "resolvers r1\n    nameserver ns1 127.0.0.1:53\n"
LIST = "    search a.test B.Test.\n"


def text_of(lines: str, *servers: str) -> str:
    return RESOLVERS + lines + PROXY + "".join(f"    server {each}\n" for each in servers)


def notices(text: str, resolv_conf: str = "/nonexistent") -> list[str]:
    outcome = load_text(text, resolv_conf=resolv_conf)
    assert outcome.settings is not None, outcome.messages
    assert all(each.severity is Severity.NOTICE for each in outcome.messages), outcome.messages
    return [each.text for each in outcome.messages]


def test_own_lines_make_the_list() -> None:
    (section,) = settings_of(text_of(LIST + "    ndots 2\n")).resolverd.sections
    assert (section.search, section.ndots) == (("a.test", "b.test"), 2)


def test_the_last_line_counts() -> None:
    (section,) = settings_of(text_of(LIST + "    search c.test .\n")).resolverd.sections
    assert (section.search, section.ndots) == (("c.test", ""), 1)


def test_own_lines_win_over_resolv_conf_wherever_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.2\nsearch file.test\noptions ndots:4\n")

    def section(lines: str) -> tuple[tuple[str, ...], int]:
        settings = settings_of(text_of(lines), resolv_conf=str(path))
        found = settings.resolverd.sections[0]
        return found.search, found.ndots

    assert section("    parse-resolv-conf\n") == (("file.test",), 4)
    assert section(LIST + "    parse-resolv-conf\n") == (("a.test", "b.test"), 4)
    assert section("    parse-resolv-conf\n    ndots 0\n") == (("file.test",), 0)


def test_searched_and_plain_names_are_two_rows() -> None:
    settings = settings_of(
        text_of(
            LIST,
            "s1 web:80 resolvers r1 resolve-opts search",
            "s2 web.:80 resolvers r1",
            "s3 web.:80 resolvers r1 resolve-opts search",
            "s4 web:80 resolvers r1 resolve-opts allow-dup-ip,search",
            "s5 _http._tcp.web:80 resolvers r1 resolve-opts search",
        )
    )
    rows = {each.name: [] for each in settings.resolverd.resolutions}
    for each in settings.resolverd.resolutions:
        names = [server.server_name for server in each.servers]
        rows[each.name].append((each.search, names))
    assert rows == {
        "web": [(True, ["s1", "s4"]), (False, ["s2", "s3"])],
        "_http._tcp.web": [(False, ["s5"])],
    }


def test_a_template_and_a_default_server_take_the_option() -> None:
    text = RESOLVERS + LIST + PROXY
    text += "    default-server resolvers r1 resolve-opts search\n    server-template s 2 web:80\n"
    (row,) = settings_of(text).resolverd.resolutions
    assert row.search
    assert len(row.servers) == 2


def test_a_short_name_gets_one_notice() -> None:
    (text,) = notices(text_of(LIST, "s1 Web:80 resolvers r1", "s2 web:80 resolvers r1"))
    assert text == (
        "listen 'edge' : server 's1' : the name 'Web' is sent as written, without the search list "
        "of resolvers 'r1' (a.test b.test; ndots 1): add 'resolve-opts search', write the full "
        "name, or 'Web.' if it is complete"
    )


@pytest.mark.parametrize(
    ("lines", "server"),
    [
        ("", "web:80 resolvers r1"),  # no list
        (LIST, "web.:80 resolvers r1"),
        (LIST, "web.a.test:80 resolvers r1"),
        (LIST, "web:80 resolvers r1 resolve-opts search"),
        (LIST, "_web._tcp:80 resolvers r1"),
        (LIST, "127.0.0.2:80 resolvers r1"),
        (LIST, "web:80"),
        (LIST + "    ndots 0\n", "web:80 resolvers r1"),
    ],
)
def test_nothing_is_said_where_nothing_would_change(lines: str, server: str) -> None:
    assert notices(text_of(lines, f"s1 {server}")) == []


def test_ndots_decides_what_is_short() -> None:
    lines = LIST + "    ndots 5\n"
    assert len(notices(text_of(lines, "s1 web.shop.svc.cluster.local:80 resolvers r1"))) == 1
    assert notices(text_of(lines, "s1 a.web.shop.svc.cluster.local:80 resolvers r1")) == []


def test_the_list_of_resolv_conf_counts_as_well(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.2\nsearch file.test\n")
    text = text_of("    parse-resolv-conf\n", "s1 web:80 resolvers r1")
    (notice,) = notices(text, str(path))
    assert "(file.test; ndots 1)" in notice


def test_the_default_section_has_the_list_of_resolv_conf(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.2\nsearch file.test\noptions ndots:3\n")
    text = PROXY + "    server s1 web:80 resolvers default resolve-opts search\n"
    (section,) = settings_of(text, resolv_conf=str(path)).resolverd.sections
    assert (section.search, section.ndots) == (("file.test",), 3)


def test_a_section_without_a_list_is_judged_by_the_hosts(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.2\nsearch a.test b.test\noptions ndots:2\n")
    servers = ("s1 web:80 resolvers r1", "s2 x.web:80 resolvers r1", "s3 x.y.web:80 resolvers r1")
    found = notices(text_of("", *servers), str(path))
    assert len(found) == 2
    assert "'web' is sent as written; libc finds it at the start" in found[0]
    assert f"{path} (a.test b.test; ndots 2)" in found[0]
    assert "'x.web'" in found[1]
    assert notices(text_of("", "s1 web.:80 resolvers r1"), str(path)) == []
    assert notices(text_of("", "s1 web:80"), str(path)) == []
    assert notices(text_of("", *servers)) == []


def test_the_option_without_a_list_is_said() -> None:
    (text,) = notices(text_of("", "s1 web:80 resolvers r1 resolve-opts search"))
    assert "'resolve-opts search' finds no search list" in text


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("search", "'search' expects 1 to"),
        ("search a..b", "'a..b' is no domain"),
        ("search " + "d." * 127 + "dd", "is no domain"),
        ("search " + " ".join(f"d{number}" for number in range(SEARCH_MAX + 1)), "expects 1 to"),
        ("ndots", "ndots"),
        (f"ndots {NDOTS_MAX + 1}", "ndots"),
        ("ndots -1", "ndots"),
        ("no search a.test", "cannot stand before"),
    ],
)
def test_what_cannot_work_says_what_is_wrong(line: str, complaint: str) -> None:
    number, text = only_alert(text_of(f"    {line}\n"))
    assert number == 3
    assert complaint in text


def test_the_limits_themselves_are_allowed() -> None:
    domains = " ".join(f"d{number}" for number in range(SEARCH_MAX))
    text = text_of(f"    search {domains}\n    ndots {NDOTS_MAX}\n")
    assert said(load_text(text)) == []
    (section,) = settings_of(text).resolverd.sections
    assert (len(section.search), section.ndots) == (SEARCH_MAX, NDOTS_MAX)
