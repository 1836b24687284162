"""Builds the compiled parts: each .pyx of the packages is one extension module.

What the tree has already, newer than all that it depends on, is taken as it is: `make wheel` behind
`make build` compiles nothing. MILLRACE_PROGRESS=1 tells of each module on the standard error.

MILLRACE_SANITIZE=1 builds them with the address and undefined-behaviour sanitizers instead,
MILLRACE_SANITIZE=thread with the thread sanitizer.
"""

import os
import shutil
import sys
import threading
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
PACKAGES = ("shm", "resolverd", "proxy")
SANITIZERS = {"1": "address,undefined", "thread": "thread"}
SANITIZE = SANITIZERS.get(os.environ.get("MILLRACE_SANITIZE", ""))
FLAGS = ["-std=gnu11", "-Wall", "-Wno-unused-function", "-fno-strict-aliasing"]
FLAGS += (
    ["-O1", "-g", f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer"]
    if SANITIZE
    else ["-O2", "-g0"]
)
FLAGS += ["-Wno-tsan"] if SANITIZE == "thread" else []  # it takes fences for nothing
LINK = [f"-fsanitize={SANITIZE}"] if SANITIZE else []
JOBS = len(os.sched_getaffinity(0))


def extensions() -> list[Extension]:
    sources = [path for each in PACKAGES for path in ROOT.glob(f"{each}/**/*.pyx")]
    # of the package itself and of shm, and of the sources only: what is found in build/ is copied
    # into build/ again, deeper each time
    declarations = {each: sorted(ROOT.glob(f"{each}/**/*.pxd")) for each in PACKAGES}
    return [
        Extension(
            ".".join(source.relative_to(ROOT).with_suffix("").parts),
            [str(source.relative_to(ROOT))],
            depends=[
                str(path.relative_to(ROOT))
                for each in {"shm", source.relative_to(ROOT).parts[0]}
                for path in declarations[each]
            ]
            + [str(path.relative_to(ROOT)) for path in source.parent.glob("*.h")],
            extra_compile_args=FLAGS,
            extra_link_args=LINK,
            include_dirs=["."],
        )
        for source in sorted(sources)
    ]


class Building(build_ext):
    """Compiles what is not there yet, and tells how far it is."""

    def build_extensions(self) -> None:
        self.begun = 0
        self.counting = threading.Lock()
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        with self.counting:
            self.begun += 1
            number = self.begun
        built = Path(self.get_ext_fullpath(ext.name))
        present = ROOT / self.get_ext_filename(ext.name)
        if not SANITIZE and self.is_fresh(ext, present):
            if not built.exists() or not built.samefile(present):
                built.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(present, built)
            return
        if os.environ.get("MILLRACE_PROGRESS"):
            print(f"[{number}/{len(self.extensions)}] {ext.name}", file=sys.stderr, flush=True)
        super().build_extension(ext)

    def is_fresh(self, ext: Extension, present: Path) -> bool:
        source = ROOT / Path(*ext.name.split(".")).with_suffix(".pyx")
        needed = [source, ROOT / "setup.py", *map(Path, (*ext.sources, *ext.depends))]
        if not present.exists():
            return False
        made = present.stat().st_mtime
        return all(path.stat().st_mtime <= made for path in needed)


setup(
    cmdclass={"build_ext": Building},
    options={"build_ext": {"parallel": JOBS}},
    ext_modules=cythonize(
        extensions(),
        nthreads=JOBS,
        build_dir="build/cython",
        compiler_directives={
            "language_level": "3",
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": True,
        },
    ),
)
