"""Builds the compiled parts: each .pyx of the packages is one extension module.

MILLRACE_SANITIZE=1 builds them with the address and undefined-behaviour sanitizers instead,
MILLRACE_SANITIZE=thread with the thread sanitizer.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

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


setup(
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
