"""A headless Chromium over its debugging pipe, and the judge of pages that axe-core is.

The browser speaks the DevTools protocol in JSON, ended by a zero byte, on descriptors 3 and 4.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.support.common import PATIENCE_SECONDS, require_program, wait_for

ROOT = Path(__file__).parents[2]
AXE = ROOT / ".venv/axe/node_modules/axe-core/axe.min.js"
RUN_AXE = """
axe.run(document, {resultTypes: ["violations"]}).then(found => found.violations.map(
  each => each.id + ": " + each.nodes.map(node => node.target.join(" ")).join(", ")))
"""
# what sticks out of the window and is in nothing that scrolls by itself
CLIPPED = """
Array.from(document.querySelectorAll("body *")).filter(each => {
  if (each.closest(".panel") && !each.matches(".panel")) return false;
  const box = each.getBoundingClientRect();
  return box.width > 0 && (box.right > window.innerWidth + 1 || box.left < -1) &&
    getComputedStyle(each).visibility !== "hidden";
}).map(each => each.outerHTML.slice(0, 120))
"""


def axe_source() -> str:
    """The text of axe-core; without it the test fails in CI and skips elsewhere."""
    if not AXE.exists():
        reason = "axe-core is not installed (make test as root installs it, with npm)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return AXE.read_text()


class Browser:
    """One browser with one page; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._axe = axe_source()
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        words = [
            require_program("chromium"),
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--no-first-run", "--disable-dev-shm-usage", "--disable-background-networking"),
            *(f"--user-data-dir={folder}/profile", "--remote-debugging-pipe", "about:blank"),
        ]
        # the shell puts the ends of the pipes where the browser looks for them
        placed = f'exec "$@" 3<&{commands} 4>&{answers}'
        with (folder / "chromium.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["/bin/bash", "-c", placed, "browser", *words],
                pass_fds=(commands, answers),
                stdout=log,
                stderr=log,
                env={**os.environ, "TMPDIR": str(folder)},  # a killed browser leaves its files
            )
        os.close(commands)
        os.close(answers)
        self._received = b""
        self._number = 0
        self._session = ""
        target = self._first_page()
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        self.call("Page.enable")

    def _first_page(self) -> str:
        def page() -> str:
            infos = self.call("Target.getTargets")["targetInfos"]
            return next((each["targetId"] for each in infos if each["type"] == "page"), "")

        return wait_for(page, PATIENCE_SECONDS, "the browser has a page")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command and its result; events in between are passed over."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._number:
                assert "error" not in found, f"{method}: {found['error']}"
                result: dict[str, Any] = found["result"]
                return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            data = os.read(self._answers, 1 << 20)
            assert data, "the browser has ended"
            self._received += data
        line, _, self._received = self._received.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def look(self, width: int, *, dark: bool, paper: bool = False) -> None:
        """How wide the window is, and which colours the reader likes."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call(
            "Emulation.setEmulatedMedia", media="print" if paper else "screen", features=[scheme]
        )

    def open(self, address: str) -> None:
        """Load a page, until it and its style sheet are there."""
        found = self.call("Page.navigate", url=address)
        assert "errorText" not in found, f"{address}: {found['errorText']}"
        wait_for(
            lambda: self.run(
                f"document.readyState === 'complete' && location.href === '{address}'"
            ),
            PATIENCE_SECONDS,
            f"{address} is loaded",
        )

    def run(self, script: str) -> Any:
        """The value of a script in the page; what its policy forbids the page is allowed here."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def violations(self) -> list[str]:
        """What axe-core finds wrong with the page."""
        if not self.run("typeof axe === 'object'"):
            self.run(self._axe)
        found: list[str] = self.run(RUN_AXE)
        return found

    def clipped(self) -> list[str]:
        """What sticks out of the window."""
        found: list[str] = self.run(CLIPPED)
        return found

    def picture(self, path: Path) -> None:
        """The whole page as a file."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)
