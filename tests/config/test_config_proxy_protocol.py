"""The words of the PROXY protocol: on bind and server lines, in tcp-request, and for checks."""

from __future__ import annotations

import pytest

from proxy.config.model.settings import ProxyHeader
from tests.support.config.loading import load_text, only_alert, said, server_settings, settings_of

NONE, V1, V2, V2_CHECKSUM, V2_TLS, V2_TLS_CHECKSUM = ProxyHeader
EDGE = "frontend f\n    timeout client 1s\n    bind :80,:81\n    {line}\n"


@pytest.mark.parametrize(
    ("options", "header", "check_header"),
    [
        ("check", NONE, NONE),
        ("check send-proxy", V1, V1),
        ("check send-proxy-v2", V2, V2),
        ("check send-proxy send-proxy-v2", V2, V2),
        ("check send-proxy-v2 send-proxy", V2, V2),
        ("check send-proxy-v2 proxy-v2-options crc32c", V2_CHECKSUM, V2_CHECKSUM),
        ("check send-proxy proxy-v2-options crc32c", V1, V1),
        ("check send-proxy no-send-proxy", NONE, NONE),
        ("check send-proxy-v2-ssl", V2_TLS, V2_TLS),
        ("check send-proxy-v2-ssl-cn proxy-v2-options crc32c", *[V2_TLS_CHECKSUM] * 2),
        ("check send-proxy-v2-ssl no-send-proxy-v2-ssl-cn", NONE, NONE),
        ("check send-proxy-v2-ssl-cn no-send-proxy-v2-ssl", V1, V1),
        ("check send-proxy-v2-ssl no-send-proxy-v2", V1, V1),
        ("check proxy-v2-options ssl", V1, V1),
        ("check proxy-v2-options cert-cn no-send-proxy-v2-ssl send-proxy-v2", V2, V2),
        ("check send-proxy-v2 proxy-v2-options cert-cn", V2_TLS, V2_TLS),
        ("check send-proxy proxy-v2-options ssl", V1, V1),
        ("check send-proxy no-send-proxy-v2", V1, V1),
        ("check send-proxy-v2 no-send-proxy", V2, V2),
        ("check send-proxy-v2 no-send-proxy-v2", NONE, NONE),
        ("check send-proxy port 99", V1, NONE),
        ("check send-proxy-v2 addr 127.0.0.9", V2, NONE),
        ("check send-proxy port 99 check-send-proxy", V1, V1),
        ("check send-proxy-v2 addr 127.0.0.9 check-send-proxy", V2, V2),
        ("check check-send-proxy", NONE, V1),
        ("check send-proxy no-check-send-proxy", V1, V1),
        ("check send-proxy port 99 check-send-proxy no-check-send-proxy", V1, NONE),
    ],
)
def test_what_a_server_and_its_check_begin_with(
    options: str, header: ProxyHeader, check_header: ProxyHeader
) -> None:
    """As seen from HAProxy 2.6."""
    server = server_settings(options)
    assert server.connecting.proxy_header is header
    assert server.check is not None
    assert server.check.proxy_header is check_header


@pytest.mark.parametrize(
    ("names", "authority", "unique_id", "checked"),
    [
        ("unique-id", False, True, False),
        ("authority", True, False, False),
        ("authority,crc32c,unique-id", True, True, True),
    ],
)
def test_fields_of_a_header(names: str, authority: bool, unique_id: bool, checked: bool) -> None:
    connecting = server_settings(f"send-proxy-v2 proxy-v2-options {names}").connecting
    assert connecting.header_authority is authority
    assert connecting.header_unique_id is unique_id
    assert connecting.proxy_header is (V2_CHECKSUM if checked else V2)


def test_an_option_that_nobody_knows_is_refused_as_in_haproxy() -> None:
    text = "backend b\n    timeout connect 1s\n    timeout server 1s\n"
    alert = only_alert(text + "    server s 127.0.0.2:80 proxy-v2-options foo\n")[1]
    assert "'foo' : proxy v2 option not implemented" in alert


@pytest.mark.parametrize("line", ["bind :82 accept-proxy", "bind :82 v4v6 accept-proxy name x"])
def test_accept_proxy_is_said_of_one_line_s_addresses(line: str) -> None:
    binds = settings_of(EDGE.format(line=line)).binds
    assert [bind.accept_proxy for bind in binds] == [False, False, True]


def test_expect_proxy_is_said_of_all_addresses() -> None:
    line = "tcp-request connection expect-proxy layer4"
    binds = settings_of(EDGE.format(line=line)).binds
    assert [bind.accept_proxy for bind in binds] == [True, True]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("tcp-request connection expect-proxy", "only supports 'layer4'"),
        ("tcp-request connection expect-proxy layer5", "(got 'layer5')"),
        ("tcp-request connection expect-proxy layer4 x", "only accepts 'if' or 'unless'"),
    ],
)
def test_other_requests_are_refused_with_their_line(line: str, complaint: str) -> None:
    number, text = only_alert(EDGE.format(line=line))
    assert number == 4
    assert complaint in text


@pytest.mark.parametrize("section", ["backend b", "defaults"])
def test_sections_without_clients_expect_no_header(section: str) -> None:
    text = f"{section}\n    tcp-request connection expect-proxy layer4\n"
    assert "not allowed" in only_alert(text)[1]


@pytest.mark.parametrize(
    "line", ["bind :82 accept-proxy", "tcp-request connection expect-proxy layer4"]
)
def test_statistics_are_served_to_direct_clients_only(line: str) -> None:
    text = EDGE.format(line=line) + "    mode http\n    stats enable\n"
    assert "not supported" in "".join(text for _, text in said(load_text(text)))
