"""Types of the compiled module; its documentation is in expressions.pyx."""

from proxy.lists.changing.area import ListArea
from proxy.lists.regex import Regexes

def follow(area: ListArea, number: int, regexes: Regexes) -> None: ...
def compile_added(area: ListArea) -> list[str]: ...
