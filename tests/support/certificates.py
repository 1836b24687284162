"""Certificates of a test, made by the openssl program: an authority and what it signs.

Each is a PEM file in a folder, with its private key behind it. Keys are of P-256, which takes
a moment only.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.common import require_program

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """An authority in `folder`: `ca.pem` is its certificate, `path` that of a name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._openssl(
            *("req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", "3650"),
            *("-subj", "/CN=Authority of the test"),
        )

    def _openssl(self, *arguments: str) -> None:
        program = require_program("openssl")
        subprocess.run((program, *arguments), cwd=self.folder, check=True, capture_output=True)

    def path(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")

    def issue(self, name: str, common_name: str, *names: str, days: int = 365) -> str:
        """The path of a new certificate with its key; `names` are alternative ones: DNS:x, IP:y."""
        self._openssl(
            *("req", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr"),
            *("-subj", f"/CN={common_name}"),
        )
        lines = f"subjectAltName={','.join(names)}\n" if names else ""
        (self.folder / f"{name}.ext").write_text(lines)
        self._openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-out", f"{name}.pem", "-days", str(days)),
            *("-extfile", f"{name}.ext"),
        )
        return self._with_key(name)

    def self_signed(self, name: str, common_name: str) -> str:
        """The path of a certificate that only itself vouches for."""
        self._openssl(
            *("req", "-x509", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.pem"),
            *("-days", "365", "-subj", f"/CN={common_name}"),
        )
        return self._with_key(name)

    def revoke(self, list_name: str, *names: str) -> str:
        """The path of the authority's list of revoked certificates, with these on it."""
        (self.folder / "index").write_text("")
        (self.folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index\ndefault_md=sha256\ndefault_crl_days=30\n"
        )
        common = ("ca", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key")
        for name in names:
            self._openssl(*common, "-revoke", f"{name}.pem")
        self._openssl(*common, "-gencrl", "-out", f"{list_name}.pem")
        return self.path(list_name)

    def _with_key(self, name: str) -> str:
        path = Path(self.path(name))
        path.write_bytes(path.read_bytes() + (self.folder / f"{name}.key").read_bytes())
        return str(path)
