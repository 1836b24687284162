"""Types of the compiled module; its documentation is in area.pyx."""

from collections.abc import Sequence

FILE_WINDOW_BYTES: int
LINE_WINDOW_BYTES: int
AREA_BYTES_MAX: int

def whole_pages(size: int) -> int: ...

class ListArea:
    packed: tuple[bytes, ...]
    windows: tuple[tuple[int, int], ...]
    def __init__(
        self,
        packed: Sequence[bytes],
        references: Sequence[tuple[tuple[int, ...], int]],
        workers: int,
    ) -> None: ...
    def join(self, reader: int) -> None: ...
    def look(self, reader: int) -> None: ...
    def settle(self, reader: int) -> None: ...
    def retire(self) -> int: ...
    def quiet(self, epoch: int) -> bool: ...
