"""Real daemons on loopback, each in a temporary folder with a configuration of its own.

Started by root they run as a user who owns nothing else, where the daemon lets them (Exim, which
changes its user itself, does not).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for

USER = "nobody"
AS_ROOT = os.geteuid() == 0

EXIM = """
primary_hostname = mx.test
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
pid_file_path = {folder}/pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
keep_environment =
tls_advertise_hosts =
smtp_accept_max = {connections_max}
acl_smtp_helo = helo
begin acl
helo:
  deny condition = ${{if eq{{$sender_helo_name}}{{refused.test}}}}
  accept
"""
NGINX = """
daemon off;
pid {folder}/pid;
error_log {folder}/log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port} ssl;
    {lines}
    location / {{ return 200 "well"; }}
  }}
}}
"""
MARIADB_USERS = """
CREATE USER known@'127.0.0.1';
CREATE USER secret@'127.0.0.1' IDENTIFIED BY 'password';
"""
POSTGRES_USERS = """
host all known 127.0.0.1/32 trust
host all secret 127.0.0.1/32 scram-sha-256
"""


@contextmanager
def _folder(user: str = USER) -> Iterator[Path]:
    """A folder that the daemon's user can reach: those of pytest belong to root alone."""
    with tempfile.TemporaryDirectory(prefix="millrace-", ignore_cleanup_errors=True) as name:
        if AS_ROOT:
            shutil.chown(name, user)
        yield Path(name)


def _owned(path: Path, text: str) -> Path:
    """A file of the daemon's user."""
    path.write_text(text)
    if AS_ROOT:
        shutil.chown(path, USER)
    return path


def _environ() -> dict[str, str]:
    """A sanitizer that is preloaded is for Millrace: daemons would take minutes with it."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def _once(command: Sequence[str | Path]) -> None:
    """Run to its end what prepares a daemon's folder."""
    done = subprocess.run(
        command,
        user=USER if AS_ROOT else None,
        env=_environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")


def _accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS):
        return True
    return False


@contextmanager
def _running(
    command: Sequence[str | Path], folder: Path, port: int, user: str | None = USER
) -> Iterator[int]:
    """The daemon from when it accepts connections until it has ended; its port."""
    output = folder / "output"
    with output.open("wb") as stream:
        child = subprocess.Popen(
            command,
            cwd=folder,
            user=user if AS_ROOT else None,
            env=_environ(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )

    def ready() -> bool:
        assert child.poll() is None, output.read_text(errors="replace")
        return _accepts(port)

    try:
        wait_for(ready, 10.0, f"{command[0]} on port {port}", step=0.05)
        yield port
    finally:
        child.terminate()
        try:
            child.wait(PATIENCE_SECONDS)
        finally:
            with suppress(ProcessLookupError):  # a child of its own would write into the folder
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@contextmanager
def mariadb(connections_max: int) -> Iterator[int]:
    """With the users `known`, who needs no password, and `secret`."""
    program, installer = require_program("mariadbd"), require_program("mariadb-install-db")
    port = free_port()
    with _folder() as folder:
        _once(
            (
                installer,
                "--no-defaults",
                f"--datadir={folder / 'data'}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
                "--innodb-buffer-pool-size=8M",
                "--innodb-log-file-size=4M",
            )
        )
        users = _owned(folder / "users.sql", MARIADB_USERS)
        command = (
            program,
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            f"--socket={folder / 'socket'}",
            f"--pid-file={folder / 'pid'}",
            f"--init-file={users}",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=8M",
            "--innodb-log-file-size=4M",
            f"--max-connections={connections_max}",
            "--connect-timeout=3600",  # of a client that does not log in
        )
        with _running(command, folder, port):
            yield port


@contextmanager
def postgres(*, starts_up: bool = False) -> Iterator[int]:
    """With the user `known`, who needs no password, and `secret`.

    `starts_up`: it never gets further than its start, as a standby that waits for its primary.
    """
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    program = require_program(str(installed[-1] / "postgres") if installed else "postgres")
    port = free_port()
    with _folder() as folder:
        data = folder / "data"
        _once(
            (
                Path(program).with_name("initdb"),
                *("-D", data, "-U", "owner", "-A", "trust", "--no-sync", "--no-locale"),
            )
        )
        rules = _owned(folder / "users", POSTGRES_USERS)
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "hba_file": rules,
            "fsync": "off",
            "shared_buffers": "8MB",
        }
        if starts_up:
            settings["hot_standby"] = "off"
            _owned(data / "standby.signal", "")
        chosen = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with _running((program, "-D", data, *chosen), folder, port):
            yield port


@contextmanager
def redis(*options: str, secure: bool = False) -> Iterator[int]:
    """In memory only; `secure`: over TLS, with the options for that."""
    program, port = require_program("redis-server"), free_port()
    with _folder() as folder:
        command = (
            program,
            *(("--port", "0", "--tls-port", str(port)) if secure else ("--port", str(port))),
            *("--bind", "127.0.0.1", "--save", "", "--dir", folder),
            *options,
        )
        with _running(command, folder, port):
            yield port


@contextmanager
def slapd(*lines: str, scheme: str = "ldap") -> Iterator[int]:
    """Without a database: it is asked for no entry."""
    program, port = require_program("slapd"), free_port()
    with _folder() as folder:
        configuration = _owned(
            folder / "slapd.conf", "\n".join((f"pidfile {folder / 'pid'}", *lines, ""))
        )
        command = (program, "-f", configuration, "-h", f"{scheme}://127.0.0.1:{port}", "-d", "0")
        with _running(command, folder, port):
            yield port


@contextmanager
def exim(connections_max: int, *lines: str, secure: bool = False) -> Iterator[int]:
    """Takes any name of a client but `refused.test`; `secure`: TLS before all else."""
    program, port = require_program("exim4"), free_port()
    with _folder("Debian-exim") as folder:
        configuration = folder / "exim.conf"
        text = EXIM.format(folder=folder, port=port, connections_max=connections_max)
        first = [f"tls_on_connect_ports = {port}"] if secure else []
        configuration.write_text("\n".join((*first, *lines, text)))
        with _running((program, "-C", configuration, "-bdf"), folder, port, None):
            yield port


@contextmanager
def nginx(*lines: str) -> Iterator[int]:
    """Answers each request over TLS with 200; `lines` of its server."""
    program, port = require_program("nginx"), free_port()
    with _folder() as folder:
        text = NGINX.format(folder=folder, port=port, lines="\n".join(lines))
        command = (program, "-p", folder, "-c", _owned(folder / "conf", text))
        with _running(command, folder, port):
            yield port
