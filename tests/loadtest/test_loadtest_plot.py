"""The load test's picture, as matplotlib draws it."""

from __future__ import annotations

from pathlib import Path

from loadtest.report import write_plot
from loadtest.table import Results


def test_a_picture_leaves_out_what_has_nothing_to_compare_with(tmp_path: Path) -> None:
    """`--only listed`: its figure is over that of another load."""
    about = {"date": "today", "commit": "0", "cpu": "one", "kernel": "6"}
    results = Results()
    results.add("listed", "millrace", {"latency_p99_us": 10.0, "listing_ms": 1.0})
    assert write_plot(tmp_path / "none.png", about, results)
    assert not (tmp_path / "none.png").exists()
    results.add("unlisted", "millrace", {"latency_p99_us": 10.0})
    results.add("listed", "haproxy", {"latency_p99_us": 10.0, "listing_ms": 1.0})
    assert write_plot(tmp_path / "some.png", about, results)
    assert (tmp_path / "some.png").stat().st_size > 1_000
