"""What holds for every test: its process is alone (tests/support_isolation.py)."""

from __future__ import annotations

from tests.support_isolation import isolate

isolate()
