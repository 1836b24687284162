"""Checks over TLS of real daemons: OpenSSL's side, and GnuTLS' (Exim, slapd).

HAProxy and Millrace say the same of each.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.health.daemons import exim, nginx, redis, slapd
from tests.health.test_named_checks_of_servers import DECIDED, Expected, agree
from tests.support.certificates import Authority

FAILED = "SSL handshake failure"
OTHER = "Server presented an SSL certificate different from the configured one"


@pytest.fixture(scope="module")
def made() -> Iterator[Authority]:
    """In a folder that the daemons' users can reach."""
    with tempfile.TemporaryDirectory(prefix="millrace-") as name:
        authority = Authority(Path(name))
        authority.issue("server", "server.test", "DNS:server.test")
        authority.issue("client", "client.test")
        authority.folder.chmod(0o755)
        for file in authority.folder.iterdir():
            file.chmod(0o644)
        yield authority


def over_tls(made: Authority, words: str) -> str:
    return f"{DECIDED} check-ssl {words}".replace("{folder}", str(made.folder))


def expectations(
    made: Authority, option: str, port: int, well: tuple[str, str, str]
) -> dict[str, Expected]:
    """What every server is to show: who it is, and how it speaks."""
    trusted = "verify required ca-file {folder}/ca.pem"

    def case(words: str, status: str, code: str = "", text: str = "") -> Expected:
        return Expected(option, port, status, code, text, over_tls(made, words))

    return {
        "unverified": case("verify none", *well),
        "trusted": case(f"{trusted} verifyhost server.test", *well),
        "named": case(f"{trusted} check-sni server.test", *well),
        "of_12": case("verify none force-tlsv12", *well),
        "of_13": case("verify none ssl-min-ver TLSv1.3", *well),
        "other_name": case(f"{trusted} verifyhost other.test", "L6RSP", text=OTHER),
        "not_trusted": case("verify required ca-file {folder}/client.pem", "L6RSP", text=FAILED),
    }


def test_exim(made: Authority, tmp_path: Path) -> None:
    lines = (
        f"tls_certificate = {made.path('server')}",
        f"tls_privatekey = {made.folder / 'server.key'}",
    )
    with exim(100, *lines, secure=True) as port:
        well = ("L7OK", "221", "mx.test closing connection")
        agree(tmp_path / "live", expectations(made, "smtpchk", port, well))


def test_openldap(made: Authority, tmp_path: Path) -> None:
    lines = (
        f"TLSCertificateFile {made.path('server')}",
        f"TLSCertificateKeyFile {made.folder / 'server.key'}",
    )
    with slapd(*lines, scheme="ldaps") as port:
        agree(tmp_path / "live", expectations(made, "ldap-check", port, ("L7OK", "0", "Success")))


def test_redis(made: Authority, tmp_path: Path) -> None:
    options = (
        *("--tls-cert-file", made.path("server"), "--tls-key-file", made.path("server")),
        *("--tls-ca-cert-file", made.path("ca")),
    )
    with redis(*options, "--tls-auth-clients", "no", secure=True) as port:
        well = ("L7OK", "0", "Redis server is ok")
        agree(tmp_path / "open", expectations(made, "redis-check", port, well))
    with redis(*options, secure=True) as port:
        client = over_tls(made, "verify none crt {folder}/client.pem")
        agree(
            tmp_path / "closed",
            {
                "client": Expected("redis-check", port, *well, server=client),
                "no_client": Expected(
                    *("redis-check", port, "L6RSP", "", FAILED),
                    server=over_tls(made, "verify none force-tlsv12"),
                ),
            },
        )


def test_nginx(made: Authority, tmp_path: Path) -> None:
    lines = (
        f"ssl_certificate {made.path('server')};",
        f"ssl_certificate_key {made.path('server')};",
        "ssl_protocols TLSv1.2 TLSv1.3;",
    )
    with nginx(*lines) as port:
        agree(tmp_path / "open", expectations(made, "httpchk GET /", port, ("L7OK", "200", "")))
    asks = (*lines, f"ssl_client_certificate {made.path('ca')};", "ssl_verify_client on;")
    with nginx(*asks) as port:
        client = over_tls(made, "verify none crt {folder}/client.pem")
        bad = ("L7STS", "400", "Bad Request")
        agree(
            tmp_path / "closed",
            {
                "client": Expected("httpchk GET /", port, "L7OK", "200", server=client),
                "no_client": Expected(
                    "httpchk GET /", port, *bad, server=over_tls(made, "verify none")
                ),
            },
        )
