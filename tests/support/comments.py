"""Owns the reading of comments, docstrings and statements out of sources. Knows no rule about them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

# A literal, which may have a # in it, or a comment: a tenth of what the tokens of all files take.
LITERAL_OR_COMMENT = re.compile(
    r"""
    \"{3} (?: [^\\] | \\. )*? \"{3} | '{3} (?: [^\\] | \\. )*? '{3}
    | " (?: [^"\\\n] | \\. )* " | ' (?: [^'\\\n] | \\. )* '
    | (\#[^\n]*)
    """,
    re.VERBOSE | re.DOTALL,
)


def comments(path: Path) -> list[str]:
    """Comments and docstrings of a Python or Cython file, each once."""
    text = path.read_text()
    if path.suffix != ".py":
        found = re.finditer(r'"""(.*?)"""|(?:^|(?<=\s))#(.*?)$', text, re.DOTALL | re.MULTILINE)
        return [match[1] or match[2] or "" for match in found]
    return hashed(text) + [
        ast.get_docstring(node, clean=False) or ""
        for node in statements(ast.parse(text))
        if isinstance(node, Definition)
    ]


def hashed(text: str) -> list[str]:
    """The comments of a Python source, each with its #."""
    return [found for found in LITERAL_OR_COMMENT.findall(text) if found]


def statements(tree: ast.Module) -> Iterator[ast.AST]:
    """The module and each of its statements, in no order, without the expressions in them."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, part, None)
            if isinstance(inner, list):
                waiting += inner
