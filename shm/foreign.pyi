"""Types of the compiled module; its documentation is in foreign.pyx."""

from shm.segment import Segment
from shm.shape import Shape

def adopt_segment(fd: int, shape: Shape) -> Segment: ...
