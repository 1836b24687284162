"""Flags that count more than the files, flags that do nothing, and the short forms of the version."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from proxy.arguments import Arguments, parse
from proxy.cli import run
from proxy.client.version import version_text
from proxy.config.model.settings import Settings
from proxy.supervisor.prepare import prepare
from resolverd.config import Family

FILE = """\
global
    dns-accept-family ipv4,ipv6
defaults
    timeout client 1s
    timeout connect 1s
    timeout server 1s
listen web
    bind localhost:1
    server a 127.0.0.1:2
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "edge.cfg"
    path.write_text(FILE)
    return str(path)


def settings_with(file: str, *flags: str) -> Settings:
    arguments = parse(["-f", file, *flags])
    assert isinstance(arguments, Arguments), arguments
    settings = prepare(arguments, {}).settings
    assert settings is not None
    return settings


def test_only_ipv4_is_asked_for_whatever_the_file_says(file: str) -> None:
    assert settings_with(file).resolverd.families == (Family.IPV4, Family.IPV6)
    settings = settings_with(file, "-4")
    assert settings.resolverd.families == (Family.IPV4,)
    assert settings.binds[0].endpoint.host == "127.0.0.1"


def test_splice_is_turned_off(file: str) -> None:
    assert [proxy.splice for proxy in settings_with(file).proxies] == [True]
    assert [proxy.splice for proxy in settings_with(file, "-dS").proxies] == [False]


def test_what_has_no_effect_is_told_and_is_no_warning(
    file: str, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ["-dM", "-dR", "-dKall"]
    assert run(["-c", "-dW", "-f", file, *flags]) == 0
    told = [line for line in capfd.readouterr().err.splitlines() if "has no effect here" in line]
    assert [line.split("'")[1] for line in told] == ["-dM", "-dR", "-dKall"]
    assert all(line.startswith("[NOTICE]") for line in told)
    assert run(["-c", "-q", "-f", file, *flags]) == 0
    assert capfd.readouterr().err == ""


def test_the_version_has_short_forms() -> None:
    version = importlib.metadata.version("millrace")
    assert version_text("-vq") == f"{version}\n"
    numbers = version_text("-vqs").strip()
    assert version.startswith(numbers)
    assert version_text("-vqb").strip() == ".".join(numbers.split(".")[:2])
