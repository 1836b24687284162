"""The container file and the Kubernetes base: schema, confinement, probes, reload by ConfigMap."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from proxy.control.http.readiness import PATH as READY_PATH
from proxy.flags.table import CONFIGURATION, PIDFILE
from tests.support.common import PATIENCE_SECONDS, wait_for

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy" / "kubernetes"
CONTAINER = (ROOT / "deploy" / "container" / "Containerfile").read_text()
VERSIONS = ("1.29", "1.33")


@pytest.fixture(scope="module")
def daemon_set() -> Any:
    return yaml.safe_load((BASE / "daemonset.yaml").read_text())


@pytest.fixture(scope="module")
def pod(daemon_set: Any) -> Any:
    return daemon_set["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifest_is_what_kubernetes_takes(daemon_set: Any, version: str) -> None:
    kubernetes_validate.validate(daemon_set, version, strict=True)


def test_the_base_names_what_is_there(pod: Any) -> None:
    base = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    (made,) = base["configMapGenerator"]
    assert all((BASE / name).is_file() for name in (*base["resources"], *made["files"]))
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["configuration"]["configMap"]["name"] == made["name"]
    assert base["generatorOptions"] == {"disableNameSuffixHash": True}
    assert made["files"] == [Path(CONFIGURATION).name]


def test_each_container_is_confined(pod: Any) -> None:
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        places = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert places == {str(Path(CONFIGURATION).parent), str(Path(PIDFILE).parent)}


def test_probes_ask_what_is_meant_for_them(pod: Any) -> None:
    proxy = pod["containers"][0]
    for probe in ("startupProbe", "readinessProbe"):
        assert proxy[probe]["httpGet"] == {"port": "metrics", "path": READY_PATH}
    assert proxy["livenessProbe"]["exec"]["command"] == ["millrace", "ping"]
    configuration = (BASE / "millrace.cfg").read_text()
    ports = {port["name"]: port["containerPort"] for port in proxy["ports"]}
    assert f"bind :{ports['metrics']}\n" in configuration
    times = re.findall(r"^ +(?:grace|hard-stop-after) (\d+)s$", configuration, re.MULTILINE)
    assert len(times) == 2
    assert sum(map(int, times)) < pod["terminationGracePeriodSeconds"]


def test_a_change_of_the_config_map_is_a_reload_if_it_is_valid(pod: Any, tmp_path: Path) -> None:
    """The script of the manifest, with a stand-in for what checks; the signal comes to this test."""
    (reload,) = (each for each in pod["containers"] if each["name"] == "reload")
    pidfile, mounted, program = tmp_path / "pid", tmp_path / "etc", tmp_path / "bin" / "millrace"
    mounted.mkdir()
    program.parent.mkdir()
    pidfile.write_text(f"{os.getpid()}\n")
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/checked\ntest ! -e {tmp_path}/wrong\n')
    program.chmod(0o755)
    script = reload["command"][2].replace("/etc/millrace", str(mounted))
    script = script.replace(PIDFILE, str(pidfile)).replace("sleep 5", "sleep 0.05")

    def mount(name: str) -> None:
        (mounted / "new").symlink_to(name)
        (mounted / "new").rename(mounted / "..data")

    def checks() -> int:
        checked = tmp_path / "checked"
        return len(checked.read_text().splitlines()) if checked.exists() else 0

    mount("first")
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    path = f"{program.parent}:{os.environ['PATH']}"
    shell = subprocess.Popen(["sh", "-xc", script], env={"PATH": path}, stderr=subprocess.PIPE)
    try:
        assert shell.stderr is not None
        while b"sleep" not in shell.stderr.readline():
            pass
        (tmp_path / "wrong").touch()
        mount("second")
        wait_for(lambda: checks() == 1, 15, "the file was checked")
        (tmp_path / "wrong").unlink()
        mount("third")
        assert signal.sigtimedwait({signal.SIGUSR2}, PATIENCE_SECONDS) is not None
        assert checks() == 2
    finally:
        shell.terminate()
        shell.communicate()
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
    assert "-c -q -f" in (tmp_path / "checked").read_text()


def test_the_image_runs_as_a_user_and_stops_softly() -> None:
    last = CONTAINER.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 65532:65532$", last, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGUSR1$", last, re.MULTILINE)
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", last, re.MULTILINE)
    assert f'"-p", "{PIDFILE}", "-f", "{CONFIGURATION}"' in entry
    assert 'CMD ["millrace", "ping"]' in last


def test_what_goes_into_the_build_is_in_the_tree() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    assert all((ROOT / name).exists() for name in kept)
    assert {"proxy", "shm", "resolverd", "setup.py", "pyproject.toml", "LICENSE"} <= set(kept)
