"""Every configuration that deploy/ ships loads, and the paths that its files name exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.text.messages import Severity
from tests.support.config.loading import load_text, said

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
EXAMPLES = sorted(DEPLOY.rglob("*.cfg"))
RESOLV_CONF = "nameserver 127.0.0.53\n"


def assert_loads(text: str, folder: Path) -> None:
    resolv_conf = folder / "resolv.conf"
    resolv_conf.write_text(RESOLV_CONF)
    outcome = load_text(text, resolv_conf=str(resolv_conf))
    assert said(outcome) == []
    assert said(outcome, Severity.WARNING) == []
    assert outcome.settings is not None
    assert outcome.settings.binds


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_load_without_a_warning(path: Path, tmp_path: Path) -> None:
    assert_loads(path.read_text(), tmp_path)


def test_there_are_examples() -> None:
    assert "demo.cfg" in [path.name for path in EXAMPLES]
