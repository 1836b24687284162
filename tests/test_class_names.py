"""One class name, one meaning: a name that two modules define sends the reader to the wrong one."""

import ast
from collections import defaultdict
from pathlib import Path

from tests.test_tidy import PACKAGES, ROOT


def _classes(path: Path) -> list[str]:
    if path.suffix == ".py":
        return [
            node.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ClassDef)
        ]
    words = [line.split() for line in path.read_text().splitlines()]
    heads = [
        line[line.index("class") + 1]
        for line in words
        if line[:1] in (["class"], ["cdef"]) and "class" in line[:3]
    ]
    return [head.partition("(")[0].rstrip(":") for head in heads]


def test_a_class_name_has_one_meaning() -> None:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for suffix in ("*.py", "*.pyx"):
            for path in sorted((ROOT / package).rglob(suffix)):
                for name in _classes(path):
                    found[name].append(str(path.relative_to(ROOT)))
    assert len(found) > 300
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}
