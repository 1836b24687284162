"""What conditions and maps are given to look up in: lists as they were packed, or in their area."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from proxy.lists.changing.area import ListArea

Lists: TypeAlias = Sequence[bytes] | ListArea
