"""Owns the reading of comments and docstrings out of sources. Knows no rule about them."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path


def comments(path: Path) -> list[str]:
    """Comments and docstrings of a Python or Cython file, each once."""
    text = path.read_text()
    if path.suffix != ".py":
        found = re.finditer(r'"""(.*?)"""|(?:^|(?<=\s))#(.*?)$', text, re.DOTALL | re.MULTILINE)
        return [match[1] or match[2] or "" for match in found]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    said = [token.string for token in tokens if token.type == tokenize.COMMENT]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            said.append(ast.get_docstring(node, clean=False) or "")
    return said
