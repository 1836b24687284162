"""The words about TLS of health checks: settings, and the same verdict as Debian's HAProxy."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from proxy.config.loader import LoadResult, load
from proxy.config.model.tls import CheckTls, TlsContext
from proxy.config.text.messages import Severity
from tests.support.certificates import Authority
from tests.support.common import PATIENCE_SECONDS, require_program

HEAD = """defaults
    mode tcp
    timeout connect 1s
    timeout client 1s
    timeout server 1s
"""
LISTEN = "listen a\n    bind 127.0.0.1:9\n"
NONE = "check check-ssl verify none"
TRUSTED = "check check-ssl ca-file {folder}/ca.pem"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Authority(tmp_path_factory.mktemp("pem"))
    made.issue("good", "good")
    made.issue("bare", "bare")
    made.issue("cut", "cut")
    made.issue("other", "other")
    made.revoke("none")
    whole = (made.folder / "bare.pem").read_text()
    certificate = whole[: whole.index("-----BEGIN PRIVATE")]
    for name in ("bare", "lost"):
        (made.folder / f"{name}.pem").write_text(certificate)
    (made.folder / "bare.pem.key").write_bytes((made.folder / "bare.key").read_bytes())
    (made.folder / "bare.crt").write_text(certificate)
    (made.folder / "crossed.pem").write_text(certificate)
    (made.folder / "crossed.pem.key").write_bytes((made.folder / "other.key").read_bytes())
    made._openssl(*("ec", "-in", "bare.key", "-aes256", "-passout", "pass:x", "-out", "locked.key"))
    locked = certificate + (made.folder / "locked.key").read_text()
    (made.folder / "locked.pem").write_text(locked)
    (made.folder / "garbage.pem").write_text("garbage\n")
    for name in ("many", "empty"):
        (made.folder / name).mkdir()
    (made.folder / "many" / "a.crt").write_bytes((made.folder / "ca.pem").read_bytes())
    (made.folder / "many" / "b.txt").write_text("no certificate\n")
    (made.folder / "empty" / "12345678.0").write_bytes((made.folder / "ca.pem").read_bytes())
    return made.folder


def text_of(server: str, *rules: str, before: str = "", folder: Path = Path()) -> str:
    lines = "".join(f"    {line}\n" for line in (*rules, f"server s 127.0.0.1:1 {server}"))
    return (before + HEAD + LISTEN + lines).replace("{folder}", str(folder))


def loaded(text: str, where: Path, **options: bool) -> LoadResult:
    file = where / "m.cfg"
    file.write_text(text)
    return load([str(file)], environ={}, **options)


def told(result: LoadResult) -> list[tuple[str, int, str]]:
    return [
        (each.severity.value, each.origin.line if each.origin else 0, each.text)
        for each in result.messages
    ]


def tls_of(result: LoadResult) -> tuple[CheckTls, TlsContext]:
    assert result.settings is not None, result.messages
    [server] = result.settings.proxies[0].servers
    assert server.check is not None
    tls = server.check.tls
    assert tls is not None
    return tls, result.settings.tls_contexts[tls.context]


GLOBAL_NONE = "global\n    ssl-server-verify none\n"
SAME_VERDICT = {
    "no authority": text_of("check check-ssl"),
    "no authority, not checked": text_of("check-ssl"),
    "verify required": text_of("check check-ssl verify required"),
    "verify none": text_of(NONE),
    "verify optional": text_of("check check-ssl verify optional"),
    "verify": text_of("check check-ssl verify"),
    "global none": text_of("check check-ssl", before=GLOBAL_NONE),
    "global none, line required": text_of("check check-ssl verify required", before=GLOBAL_NONE),
    "global nothing": text_of("check", before="global\n    ssl-server-verify\n"),
    "ca-file": text_of(TRUSTED),
    "ca-file missing": text_of("check check-ssl ca-file /nowhere"),
    "ca-file missing, unused": text_of("check verify none ca-file /nowhere"),
    "ca-file is a key": text_of("check check-ssl ca-file {folder}/ca.key"),
    "ca-file is garbage": text_of("check check-ssl ca-file {folder}/garbage.pem"),
    "ca-file of a system": text_of("check check-ssl ca-file @system-ca"),
    "ca-file is a folder": text_of("check check-ssl ca-file {folder}/many"),
    "ca-file is an empty folder": text_of("check check-ssl ca-file {folder}/empty"),
    "crl-file": text_of(f"{TRUSTED} crl-file {{folder}}/none.pem"),
    "crl-file missing": text_of(f"{NONE} crl-file /nowhere"),
    "crl-file is garbage": text_of(f"{NONE} crl-file {{folder}}/garbage.pem"),
    "crt": text_of(f"{NONE} crt {{folder}}/good.pem"),
    "crt missing": text_of(f"{NONE} crt /nowhere"),
    "crt missing, unused": text_of("check verify none crt /nowhere"),
    "crt is a folder": text_of(f"{NONE} crt {{folder}}"),
    "crt is garbage": text_of(f"{NONE} crt {{folder}}/garbage.pem"),
    "crt without a key": text_of(f"{NONE} crt {{folder}}/lost.pem"),
    "crt with a key beside": text_of(f"{NONE} crt {{folder}}/bare.pem"),
    "crt with a key not looked for": text_of(
        f"{NONE} crt {{folder}}/bare.pem", before="global\n    ssl-load-extra-files none\n"
    ),
    "crt with a key elsewhere": text_of(f"{NONE} crt {{folder}}/bare.crt"),
    "crt with a key by its name": text_of(
        f"{NONE} crt {{folder}}/bare.crt", before="global\n    ssl-load-extra-del-ext\n"
    ),
    "crt with another key": text_of(f"{NONE} crt {{folder}}/crossed.pem"),
    "crt with a locked key": text_of(f"{NONE} crt {{folder}}/locked.pem"),
    "bases": text_of(
        f"{TRUSTED} crt good.pem".replace("{folder}/", ""),
        before="global\n    ca-base {folder}\n    crt-base {folder}\n",
    ),
    "base behind": HEAD
    + LISTEN
    + "    server s 127.0.0.1:1 check check-ssl ca-file ca.pem\nglobal\n    ca-base {folder}\n",
    "base twice": text_of("check", before="global\n    ca-base /a\n    ca-base /b\n"),
    "default-path": text_of(
        "check check-ssl ca-file ca.pem", before="global\n    default-path config\n"
    ),
    "default-path origin": text_of(
        "check check-ssl ca-file ca.pem", before="global\n    default-path origin {folder}\n"
    ),
    "ciphers": text_of(f"{NONE} ciphers HIGH"),
    "ciphers unknown": text_of(f"{NONE} ciphers NOPE"),
    "ciphers unknown, unused": text_of("check ciphers NOPE"),
    "suites unknown": text_of(f"{NONE} ciphersuites NOPE"),
    "suites unknown, unused": text_of("check ciphersuites NOPE"),
    "default ciphers": text_of(NONE, before="global\n    ssl-default-server-ciphers NOPE\n"),
    "default ciphers, unused": text_of(
        "check", before="global\n    ssl-default-server-ciphers NOPE\n"
    ),
    "version unknown": text_of(f"{NONE} ssl-min-ver TLSv1.4"),
    "versions crossed": text_of(f"{NONE} ssl-min-ver TLSv1.3 ssl-max-ver TLSv1.2"),
    "versions": text_of(f"{NONE} ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.2"),
    "SSLv3 and more": text_of(f"{NONE} ssl-min-ver SSLv3"),
    "SSLv3 alone": text_of(f"{NONE} force-sslv3"),
    "versions with a hole": text_of(f"{NONE} no-tlsv12"),
    "versions ignored": text_of(f"{NONE} no-tlsv12 ssl-min-ver TLSv1.2"),
    "no version": text_of(f"{NONE} no-tlsv10 no-tlsv11 no-tlsv12 no-tlsv13"),
    "forced twice": text_of(f"{NONE} force-tlsv12 force-tlsv13"),
    "no-tlsv10 by default": HEAD + LISTEN + "    default-server no-tlsv10\n",
    "default options": text_of(
        NONE, before="global\n    ssl-default-server-options force-tlsv12 no-tls-tickets\n"
    ),
    "default options ignored": text_of(
        NONE, before="global\n    ssl-default-server-options no-tlsv10 ssl-min-ver TLSv1.2\n"
    ),
    "default options unknown": text_of(
        NONE, before="global\n    ssl-default-server-options verify\n"
    ),
    "default options cut": text_of(
        NONE, before="global\n    ssl-default-server-options ssl-min-ver\n"
    ),
    "check-sni": text_of(f"{NONE} check-sni"),
    "check-alpn": text_of(f"{NONE} check-alpn"),
    "ca-verify-file": text_of(f"{NONE} ca-verify-file /nowhere"),
    "curves": text_of(f"{NONE} curves X25519"),
    "rule": text_of("check verify none", "option tcp-check", "tcp-check connect ssl"),
    "rule without authority": text_of("check", "option tcp-check", "tcp-check connect ssl"),
    "rule with a name": text_of(
        "check verify none", "option tcp-check", "tcp-check connect port 443 ssl sni x alpn h2"
    ),
    "rule with half a name": text_of(
        "check verify none", "option tcp-check", "tcp-check connect ssl sni"
    ),
    "rule with half a protocol": text_of(
        "check verify none", "option tcp-check", "tcp-check connect ssl alpn"
    ),
    "rule with a name and no TLS": text_of("check", "option tcp-check", "tcp-check connect sni x"),
    "HTTP rule": text_of(
        "check verify none", "option httpchk", "http-check connect ssl sni x alpn http/1.1"
    ),
    "HTTP rule without authority": text_of("check", "option httpchk", "http-check connect ssl"),
    "cancelled": text_of("check no-check-ssl", "default-server check-ssl"),
    "template": HEAD + LISTEN + "    server-template s 2 127.0.0.1:1 check check-ssl\n",
}


@pytest.mark.parametrize("name", SAME_VERDICT)
def test_the_verdict_is_haproxys(name: str, folder: Path, tmp_path: Path) -> None:
    text = SAME_VERDICT[name].replace("{folder}", str(folder))
    file = folder / "h.cfg"  # relative names are looked for beside it
    file.write_text(text)
    program = require_program("haproxy")
    done = subprocess.run(
        (program, "-c", "-f", str(file)),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        start_new_session=True,  # there is no terminal to ask for a password at
        check=False,
    )
    severities = {said[0] for said in told(load([str(file)], environ={}))}
    assert ("ALERT" in severities) == ("[ALERT]" in done.stderr), done.stderr
    assert ("WARNING" in severities) == ("[WARNING]" in done.stderr), done.stderr


def test_an_error_is_at_its_line(folder: Path, tmp_path: Path) -> None:
    text = text_of(f"{NONE} crt {{folder}}/lost.pem", folder=folder)
    [(severity, line, said)] = told(loaded(text, tmp_path))
    assert (severity, line) == ("ALERT", text.count("\n"))
    assert said == f"'server a/s' : No Private Key found in '{folder}/lost.pem.key'."


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("crossed", "unable to load certificate and key of 'crt' (key values mismatch)"),
        ("locked", "a key with a password is not supported"),
        ("garbage", "unable to load certificate from file"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_told(
    name: str, complaint: str, folder: Path, tmp_path: Path
) -> None:
    text = text_of(f"{NONE} crt {{folder}}/{name}.pem", folder=folder)
    [(severity, _, said)] = told(loaded(text, tmp_path))
    assert (severity, complaint in said) == ("ALERT", True), said


def test_a_server_has_the_bytes_of_its_files(folder: Path, tmp_path: Path) -> None:
    words = (
        f"{TRUSTED} crl-file {{folder}}/none.pem crt {{folder}}/bare.pem verifyhost h check-sni n"
    )
    tls, context = tls_of(loaded(text_of(words, folder=folder), tmp_path))
    assert tls == CheckTls(0, sni="n", verify_host="h")
    assert context.verify
    assert context.authorities == (folder / "ca.pem").read_bytes()
    assert context.revoked == (folder / "none.pem").read_bytes()
    key = (folder / "bare.key").read_bytes()
    assert context.certificate == (folder / "bare.pem").read_bytes() + key


def test_servers_with_the_same_words_share_a_context(folder: Path, tmp_path: Path) -> None:
    lines = "".join(
        f"    server s{number} 127.0.0.1:1 {words} verifyhost h{number}\n"
        for number, words in enumerate([TRUSTED, NONE, TRUSTED, NONE, f"{NONE} alpn x"])
    )
    text = (HEAD + LISTEN + lines).replace("{folder}", str(folder))
    settings = loaded(text, tmp_path).settings
    assert settings is not None
    checks = [server.check for server in settings.proxies[0].servers]
    rows = [check.tls.context for check in checks if check is not None and check.tls is not None]
    assert rows == [0, 1, 0, 1, 2]
    assert len(settings.tls_contexts) == 3


def test_a_file_is_read_once_however_many_lines_name_it(folder: Path, tmp_path: Path) -> None:
    lines = "".join(
        f"    server s{number} 127.0.0.1:1 check check-ssl ca-file {{folder}}/ca.pem alpn p{number}\n"
        for number in range(3)
    )
    settings = loaded((HEAD + LISTEN + lines).replace("{folder}", str(folder)), tmp_path).settings
    assert settings is not None
    contents = {id(context.authorities) for context in settings.tls_contexts}
    assert (len(settings.tls_contexts), len(contents)) == (3, 1)


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    [(severity, _, text)] = told(loaded(text_of(f"{NONE} ca-file /{'a' * 300}"), tmp_path))
    assert (severity, "File name too long" in text) == ("ALERT", True)


def test_a_file_without_end_is_too_large(tmp_path: Path) -> None:
    [(severity, _, text)] = told(loaded(text_of(f"{NONE} ca-file /dev/zero"), tmp_path))
    assert (severity, "is too large" in text) == ("ALERT", True)


def test_rules_have_contexts_for_their_protocols(tmp_path: Path) -> None:
    rules = ("option tcp-check", "tcp-check connect ssl", "tcp-check connect ssl alpn a,b")
    result = loaded(text_of("check verify none alpn c", *rules), tmp_path)
    tls, context = tls_of(result)
    assert tls == CheckTls(0, by_line=False, contexts=(("a,b", 1),))
    assert context.alpn == ("c",)
    assert result.settings is not None
    assert result.settings.tls_contexts[1].alpn == ("a", "b")


def test_a_rule_that_says_nothing_of_protocols_leaves_those_of_checks_aside(tmp_path: Path) -> None:
    rules = ("option tcp-check", "tcp-check connect ssl")
    result = loaded(text_of("check verify none alpn a check-alpn b", *rules), tmp_path)
    tls, context = tls_of(result)
    assert result.settings is not None
    [(written, row)] = tls.contexts
    assert (written, result.settings.tls_contexts[row].alpn) == ("", ("a",))
    assert context.alpn == ("b",)


def test_without_tls_there_is_no_context(folder: Path, tmp_path: Path) -> None:
    words = "check verify none ca-file {folder}/ca.pem check-sni x alpn h2"
    settings = loaded(text_of(words, folder=folder), tmp_path).settings
    assert settings is not None
    assert settings.tls_contexts == ()


@pytest.mark.parametrize(
    ("words", "versions"),
    [
        ("", ("MINIMUM_SUPPORTED", "MAXIMUM_SUPPORTED")),
        ("ssl-min-ver TLSv1.2", ("TLSv1_2", "MAXIMUM_SUPPORTED")),
        ("ssl-max-ver TLSv1.2", ("MINIMUM_SUPPORTED", "TLSv1_2")),
        ("force-tlsv12", ("TLSv1_2", "TLSv1_2")),
        ("no-tlsv13", ("MINIMUM_SUPPORTED", "TLSv1_2")),
        ("no-tlsv10 no-tlsv11", ("TLSv1_2", "MAXIMUM_SUPPORTED")),
        ("no-tlsv12", ("MINIMUM_SUPPORTED", "MAXIMUM_SUPPORTED")),
    ],
)
def test_versions(words: str, versions: tuple[str, str], tmp_path: Path) -> None:
    _, context = tls_of(loaded(text_of(f"{NONE} {words}"), tmp_path))
    assert context.versions == versions


def test_the_command_line_turns_verification_off(folder: Path, tmp_path: Path) -> None:
    _, context = tls_of(loaded(text_of("check check-ssl"), tmp_path, server_verify=False))
    assert not context.verify
    text = text_of(f"{TRUSTED} verify required", folder=folder)
    assert tls_of(loaded(text, tmp_path, server_verify=False))[1].verify


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("check-sni 127.0.0.1", "not the address '127.0.0.1'"),
        ("check-sni .x", "expects a host name in ASCII, not '.x'"),
        ("check-sni é", "a host name in ASCII"),
        ("check-sni a..b", "a host name in ASCII"),
        ("check-alpn a,,b", "expects protocols and commas"),
        ("check-alpn ,", "expects protocols and commas"),
        ("ssl", "'check-ssl' encrypts the health checks"),
        ("npn h2", "write 'alpn'"),
        (
            "ciphersuites TLS_AES_128_GCM_SHA256",
            "TLS 1.3 cipher suites 'TLS_AES_128_GCM_SHA256' are not supported",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused(words: str, complaint: str, tmp_path: Path) -> None:
    [(severity, _, text)] = told(loaded(text_of(f"{NONE} {words}"), tmp_path))
    assert severity == "ALERT"
    assert complaint in text


@pytest.mark.parametrize(
    ("words", "rules"),
    [
        (f"{NONE} check-alpn h2", ("option httpchk",)),
        (f"{NONE} alpn http/1.1,h2", ("option httpchk",)),
        ("check verify none", ("option httpchk", "http-check connect ssl alpn h2")),
    ],
)
def test_a_check_does_not_speak_http_2(words: str, rules: tuple[str, ...], tmp_path: Path) -> None:
    [(severity, _, text)] = told(loaded(text_of(words, *rules), tmp_path))
    assert severity == "ALERT"
    assert "ALPN 'h2' is not supported" in text


def test_all_suites_in_any_order_are_what_is_offered(tmp_path: Path) -> None:
    suites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
    before = f"global\n    ssl-default-server-ciphersuites {suites}\n"
    assert told(loaded(text_of(NONE, before=before), tmp_path)) == []


@pytest.mark.parametrize(
    ("server", "severity"), [("check", Severity.NOTICE), (NONE, Severity.ALERT)]
)
def test_a_provider_of_openssl_is_refused_once_a_check_uses_tls(
    server: str, severity: Severity, tmp_path: Path
) -> None:
    text = text_of(server, before="global\n    ssl-provider legacy\n")
    [(said, line, _)] = told(loaded(text, tmp_path))
    assert (said, line) == (severity.value, 2)


def test_what_checks_do_not_use_has_no_effect(tmp_path: Path) -> None:
    text = text_of(f"{NONE} sni str(x) no-ssl-reuse allow-0rtt no-ssl")
    assert {said[0] for said in told(loaded(text, tmp_path))} == {"NOTICE"}
