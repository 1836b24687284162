"""Makes a Debian package of a wheel: `python deploy/debian/build.py <wheel> <folder>` (make deb).

The package brings what the wheel depends on, in the versions of this environment's index, below
/usr/lib/millrace; of Debian it wants the interpreter for which the wheel was built, and a C library
that has every symbol. Beside it: unit, configuration, manual page, completions, and what a host is
set up with. Needs pip and dpkg-deb.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DEPLOY = Path(__file__).parents[1]
LIBRARY = "usr/lib/millrace"
FILES = {  # of deploy/: where it lies in the package
    "debian/millrace": "usr/bin/millrace",
    "debian/millrace.cfg": "etc/millrace/millrace.cfg",
    "systemd/millrace.service": "lib/systemd/system/millrace.service",
    "systemd/millrace.sysusers": "usr/lib/sysusers.d/millrace.conf",
    "man/millrace.1": "usr/share/man/man1/millrace.1",
    "completion/millrace.bash": "usr/share/bash-completion/completions/millrace",
    "completion/_millrace": "usr/share/zsh/vendor-completions/_millrace",
    "sysctl.d/millrace.conf": "usr/share/doc/millrace/sysctl.conf",
    "limits/millrace.conf": "usr/share/doc/millrace/limits.conf",
    "rsyslog/millrace.conf": "etc/rsyslog.d/49-millrace.conf",
    "logrotate/millrace": "etc/logrotate.d/millrace",
    "examples": "usr/share/doc/millrace/examples",
    "../docs": "usr/share/doc/millrace/docs",
    "../README.md": "usr/share/doc/millrace/README.md",
    "../CHANGELOG.md": "usr/share/doc/millrace/CHANGELOG.md",
    "../LICENSE": "usr/share/doc/millrace/copyright",
}
SCRIPTS = ("postinst", "prerm", "postrm")
PROGRAMS = ("usr/bin/millrace",)


def lay_out(root: Path, wheel: Path) -> None:
    """Put everything below `root`; raises CalledProcessError when pip does."""
    library = root / LIBRARY
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", library]
    subprocess.run([*pip, "--only-binary", ":all:", wheel], check=True)
    for beside in ("bin", "share"):  # the wheel's scripts and data: Debian has its own places
        shutil.rmtree(library / beside, ignore_errors=True)
    for name, place in FILES.items():
        source, target = DEPLOY / name, root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
    for path in (root, *root.rglob("*")):
        executable = path.is_dir() or str(path.relative_to(root)) in PROGRAMS
        path.chmod(0o755 if executable else 0o644)


def control(root: Path, wheel: Path) -> str:
    """The text of DEBIAN/control (Debian policy, section 5.3)."""
    _, version, tag, *_ = wheel.name.split("-")
    minor = int(tag.removeprefix("cp3"))
    objects = list((root / LIBRARY).rglob("*.so"))
    symbols = (re.findall(rb"GLIBC_2\.(\d+)", path.read_bytes()) for path in objects)
    libc = max(int(each) for found in symbols for each in found)
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    machine = ["dpkg", "--print-architecture"]
    architecture = subprocess.run(machine, capture_output=True, text=True, check=True).stdout
    return f"""Package: millrace
Version: {version}
Architecture: {architecture.strip()}
Maintainer: The Millrace developers <millrace@localhost>
Section: net
Priority: optional
Installed-Size: {size // 1024}
Depends: python3 (>= 3.{minor}), python3 (<< 3.{minor + 1}), libc6 (>= 2.{libc}), passwd
Recommends: libpcre2-8-0
Suggests: rsyslog, logrotate
Description: TCP edge proxy that reads haproxy.cfg and finds its servers through DNS
 Millrace forwards TCP connections to servers whose addresses come from DNS
 while it runs. It reads the TCP part of a configuration for HAProxy.
"""


def main(wheel: Path, folder: Path) -> None:
    """Make the package, and say its name."""
    with tempfile.TemporaryDirectory() as made:
        root = Path(made) / "root"
        root.mkdir()
        lay_out(root, wheel)
        text = control(root, wheel)
        debian = root / "DEBIAN"
        debian.mkdir()
        (debian / "control").write_text(text)
        settings = sorted(f"/{place}\n" for place in FILES.values() if place.startswith("etc/"))
        (debian / "conffiles").write_text("".join(settings))
        for script in SCRIPTS:
            shutil.copyfile(DEPLOY / "debian" / script, debian / script)
            (debian / script).chmod(0o755)
        build = ["dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--build", root, folder]
        subprocess.run(build, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
