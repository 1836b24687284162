"""The load generators in C (`pacer.c`, `knock.c`): each is built with gcc when a load needs it.

Owns their building. Knows nothing of what they report.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.process import ProgramFailedError, output_of
from loadtest.programs import executable
from loadtest.site import Site

BUILD_SECONDS = 60.0


@contextmanager
def built_generator(site: Site, name: str) -> Iterator[Path]:
    """The compiled generator `<name>.c`; raises ProgramFailedError without a C compiler."""
    compiler = executable("gcc") or executable("cc")
    if compiler is None:
        raise ProgramFailedError("no C compiler for the generator")
    source = Path(__file__).with_name(f"{name}.c")
    with tempfile.TemporaryDirectory(prefix="millrace-load-") as folder:
        program = Path(folder) / name
        command = (compiler, "-O2", "-std=gnu11", "-o", str(program), str(source))
        output_of(command, site.load_cores, BUILD_SECONDS)
        yield program
