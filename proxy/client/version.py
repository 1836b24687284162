"""What `-v` and its longer forms print."""

from __future__ import annotations

import re

from proxy import __version__

LIBRARIES = ("uvloop", "dnspython", "msgspec", "prometheus-client", "setproctitle")


def version_text(flag: str) -> str:
    """The version as the flag `-v`, `-vv`, `-vq`, `-vqs` or `-vqb` asks for it."""
    release = re.match(r"[0-9.]*[0-9]|", __version__)
    numbers = release[0] if release else ""
    if flag.startswith("-vq"):
        branch = ".".join(numbers.split(".")[:2])
        return {"-vqs": numbers, "-vqb": branch}.get(flag, __version__) + "\n"
    lines = [f"Millrace version {__version__}"]
    if flag == "-vv":
        import platform  # noqa: PLC0415 - likewise

        lines += [
            f"Running on: {platform.system()} {platform.release()} {platform.machine()}",
            f"Built with: Python {platform.python_version()}",
            *(f"  {name} {_version_of(name)}" for name in LIBRARIES),
            "Configuration language: haproxy.cfg, mode tcp",
        ]
    return "\n".join(lines) + "\n"


def _version_of(distribution: str) -> str:
    import importlib.metadata  # noqa: PLC0415 - slow to import, rarely wanted

    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
