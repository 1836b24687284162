"""Every configuration that deploy/ ships loads, and the paths that its files name exist."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from proxy.config.text.messages import Severity
from tests.support.config.loading import load_text, said

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
EXAMPLES = sorted(DEPLOY.rglob("*.cfg"))
RESOLV_CONF = "nameserver 127.0.0.53\n"


def in_config_map(manifest: str) -> str:
    """The block scalar of a ConfigMap's `millrace.cfg` (YAML 1.2, section 8.1.2)."""
    block = re.search(r"^( *)millrace\.cfg: \|\n((?:\1 +.*\n|\n)+)", manifest, re.MULTILINE)
    assert block is not None, "no configuration in the manifest"
    return textwrap.dedent(block[2])


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


def test_the_daemon_sets_configuration_loads_without_a_warning(tmp_path: Path) -> None:
    manifest = (DEPLOY / "kubernetes" / "daemonset.yaml").read_text()
    assert_loads(in_config_map(manifest), tmp_path)


def test_there_are_examples() -> None:
    assert "demo.cfg" in [path.name for path in EXAMPLES]


def test_container_and_manifest_agree_on_the_configurations_path() -> None:
    entry = (DEPLOY / "container" / "Containerfile").read_text()
    manifest = (DEPLOY / "kubernetes" / "daemonset.yaml").read_text()
    assert '"/etc/millrace/millrace.cfg"' in entry
    assert "mountPath: /etc/millrace}" in manifest


def test_the_units_pid_file_is_where_the_unit_may_write() -> None:
    unit = (DEPLOY / "systemd" / "millrace.service").read_text()
    assert "ProtectSystem=strict" in unit  # everything is read-only but its own directories
    assert "RuntimeDirectory=millrace\n" in unit
    assert "PIDFILE=/run/millrace/" in unit
