"""What stands in files that many people have is refused for the true reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.text.messages import Severity
from tests.support.config.loading import load_text

PAGE = "HTTP/1.0 503 Service Unavailable\r\n\r\nsorry\r\n"


def complaints(text: str) -> list[str]:
    """The texts of all messages."""
    return [message.text for message in load_text(text).messages]


def test_an_inherited_page_makes_no_section_answer_itself(tmp_path: Path) -> None:
    """Debian's own file has `errorfile 503` in its `defaults`."""
    page = tmp_path / "503.http"
    page.write_text(PAGE)
    found = complaints(
        f"""
defaults
  mode http
  errorfile 503 {page}
frontend web
  bind 127.0.0.1:1
  http-request set-header X-Forwarded-Proto https
  default_backend servers
backend servers
  server a 127.0.0.1:2
""",
    )
    assert any("mode http of frontend 'web' is not supported" in each for each in found), found
    assert not any("answers itself" in each and "'web'" in each for each in found), found
    assert any("keep HAProxy for what reads or answers HTTP" in each for each in found), found


def test_a_page_of_a_section_that_leads_nowhere_is_its_answer(tmp_path: Path) -> None:
    page = tmp_path / "503.http"
    page.write_text(PAGE)
    text = f"defaults\n  mode http\n  errorfile 503 {page}\nfrontend web\n  bind 127.0.0.1:1\n"
    assert not any("mode http" in each for each in complaints(text))


def test_a_refused_bind_is_a_bind() -> None:
    text = "frontend web\n  bind 127.0.0.1:1 ssl crt x\n  default_backend b\nbackend b\n"
    found = complaints(text)
    assert any("'ssl' is not supported" in each for each in found), found
    assert not any("has no 'bind' directive" in each for each in found), found


def test_the_option_that_takes_rules_their_force_is_named() -> None:
    text = """
backend apiserver
  mode tcp
  option httpchk GET /healthz
  http-check expect status 200
  option ssl-hello-chk
  server a 127.0.0.1:1 check
"""
    (found,) = [each for each in complaints(text) if "http-check rules" in each]
    assert "beside 'option ssl-hello-chk', the last option of its checks" in found


@pytest.mark.parametrize(
    ("lines", "severity"),
    [
        (("option httpchk", "http-check expect status 200", "option redis-check"), "NOTICE"),
        (("tcp-check connect", "option httpchk"), "NOTICE"),
        (("option redis-check", "http-check expect status 200"), "WARNING"),
        (("http-check expect status 200",), "WARNING"),
        (("tcp-check connect",), "WARNING"),
    ],
)
def test_a_warning_tells_of_rules_behind_the_last_option(
    lines: tuple[str, ...], severity: str
) -> None:
    """HAProxy says nothing of rules before it, and a warning may be fatal (`zero-warning`)."""
    text = "backend b\n" + "".join(f"  {line}\n" for line in lines)
    messages = load_text(text + "  server a 127.0.0.1:1 check\n").messages
    found = [each.severity for each in messages if "rules are ignored" in each.text]
    assert found == [Severity[severity]]


LOG_FORMATS = ("option tcplog", "log-format a", "option httplog", "option httpslog")


@pytest.mark.parametrize("later", LOG_FORMATS)
@pytest.mark.parametrize("former", LOG_FORMATS)
def test_a_log_format_that_replaces_another_in_defaults_is_warned_of(
    former: str, later: str
) -> None:
    text = f"defaults\n  {former}\n  {later}\nfrontend f\n  {later}\n  bind 127.0.0.1:1\n"
    found = [each for each in complaints(text) if "overrides previous" in each]
    before, now = (line.removesuffix(" a") for line in (former, later))
    assert found == [f"'{now}' overrides previous '{before}' in 'defaults' section."]
