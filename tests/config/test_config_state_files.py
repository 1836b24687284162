"""The files that servers' last state is loaded from: words, joined paths, warnings."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.loader import LoadResult
from proxy.config.model.settings import Proxy
from proxy.config.text.messages import Severity
from tests.support.config.loading import LISTEN, load_text, only_alert, said, settings_of

SERVER = "    server s 127.0.0.2:80\n"


def warned(outcome: LoadResult) -> list[tuple[int, str]]:
    return said(outcome, Severity.WARNING)


def edge(global_lines: tuple[str, ...], *lines: str) -> Proxy:
    words = "".join(f"    {line}\n" for line in global_lines)
    own = "".join(f"    {line}\n" for line in lines)
    return settings_of(f"global\n{words}{LISTEN}{own}{SERVER}").proxies[0]


@pytest.mark.parametrize(
    ("words", "name", "path"),
    [
        (("server-state-base /base",), None, "/base/edge"),
        (("server-state-base /base/",), "use-backend-name", "/base/edge"),
        (("server-state-base /base",), "", "/base/edge"),
        (("server-state-base /base",), "own", "/base/own"),
        (("server-state-base /base",), "/other/own", "/other/own"),
        ((), "/other/own", "/other/own"),
        ((), "own", str(Path.cwd() / "own")),
        (("server-state-base base",), "own", str(Path.cwd() / "base" / "own")),
        (("server-state-base /base", "server-state-base /second"), "own", "/base/own"),
    ],
)
def test_a_file_of_the_backend(words: tuple[str, ...], name: str | None, path: str) -> None:
    lines = [] if name is None else [f"server-state-file-name {name}"]
    proxy = edge(words, "load-server-state-from-file local", *lines)
    assert (proxy.server_state_file, proxy.server_state_global) == (path, False)


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (("server-state-file /all",), "/all"),
        (("server-state-file all", "server-state-base /base"), "/base/all"),
        (("server-state-file /all", "server-state-base /base"), "/all"),
        (("server-state-file all",), str(Path.cwd() / "all")),
    ],
)
def test_one_file_of_all_backends(words: tuple[str, ...], path: str) -> None:
    proxy = edge(words, "load-server-state-from-file global", "server-state-file-name ignored")
    assert (proxy.server_state_file, proxy.server_state_global) == (path, True)


def test_nothing_is_loaded_without_being_asked_for() -> None:
    words = ("server-state-file /all", "server-state-base /base")
    for lines in ((), ("load-server-state-from-file none",), ("server-state-file-name own",)):
        proxy = edge(words, *lines)
        assert (proxy.server_state_file, proxy.server_state_global) == (None, False)
    settings = settings_of(f"global\n    {words[0]}\n    {words[1]}\n{LISTEN}")
    assert settings.globals.server_state_file == "/all"
    assert settings.globals.server_state_base == "/base"


def test_defaults_say_it_for_every_backend_under_its_own_name() -> None:
    text = (
        "global\n    server-state-base /base\n"
        "defaults\n    load-server-state-from-file local\n    timeout client 1s\n"
        "    timeout server 1s\n    timeout connect 1s\n"
        "frontend f\n    bind 127.0.0.1:1\n"
        f"backend a\n{SERVER}backend b\n    load-server-state-from-file none\n{SERVER}"
    )
    files = [proxy.server_state_file for proxy in settings_of(text).proxies]
    assert files == [None, "/base/a", None]


def test_a_global_file_that_is_not_named_is_warned_of() -> None:
    outcome = load_text(f"{LISTEN}    load-server-state-from-file global\n{SERVER}")
    assert outcome.settings is not None
    assert outcome.settings.proxies[0].server_state_file is None
    assert ["'server-state-file', which is not set" in w for _, w in warned(outcome)] == [True]


def test_a_frontend_has_no_servers_whose_state_it_could_load() -> None:
    text = "frontend f\n    bind 127.0.0.1:1\n    timeout client 1s\n"
    for word in ("load-server-state-from-file local", "server-state-file-name x"):
        assert [place for place, _ in warned(load_text(f"{text}    {word}\n"))] == [4]


def test_a_source_that_does_not_exist_is_refused() -> None:
    text = f"{LISTEN}    load-server-state-from-file remote\n"
    assert "expects 'global', 'local' or 'none'. Got 'remote'" in only_alert(text)[1]
