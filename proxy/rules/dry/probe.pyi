"""Types of the compiled module; its documentation is in probe.pyx."""

from proxy.lists.changing.editor import ListEditor
from proxy.lists.regex import Regexes

class Probe:
    def __init__(
        self,
        editor: ListEditor,
        place: int,
        matcher: str,
        *,
        insensitive: bool,
        regexes: Regexes | None = None,
    ) -> None: ...
    def find(self, value: bytes) -> tuple[bytes, bytes | None] | None: ...
