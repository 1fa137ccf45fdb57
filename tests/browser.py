"""A headless Chromium, driven over a pipe with the DevTools protocol: enough to look at a page as a reader sees it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

#: Debian's name first.
EXECUTABLE: Final = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
_FLAGS: Final = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--force-color-profile=srgb",
    "--remote-debugging-pipe", "about:blank",
)  # fmt: skip
#: Chromium reads from descriptor 3 and writes to 4: puts ours there.
_START: Final = """
import fcntl, os, sys
ours = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, descriptor in zip((3, 4), ours):
    os.dup2(descriptor, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
#: Seconds until a page that does not become ready is an error.
_PATIENCE: Final = 60.0


class Page:
    """One tab. `requests` are the addresses that it asked for, `blocked` the reasons why some were not sent, `console` the lines
    and errors that it wrote.
    """

    def __init__(self, send: Callable[..., Any], session: str) -> None:
        self._send, self._session = send, session
        self.requests: list[str] = []
        self.blocked: list[str] = []
        self.console: list[str] = []
        self.dialogs: list[str] = []

    def call(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol, and its result."""
        return self._send(method, parameters, self._session)

    def look(self, width: int, height: int = 900, *, scheme: str = "light") -> None:
        """The size of the window, and what the system prefers: `light` or `dark`."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, path: Path, ready: str = "document.readyState === 'complete'") -> None:
        """Load a file and wait until the expression `ready` is true."""
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait(ready)

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        until = time.monotonic() + _PATIENCE
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < until, f"never true: {condition}; {self.console}"
            time.sleep(0.05)

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """The visible text of the first element that matches."""
        found = self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? null")
        assert isinstance(found, str), f"there is no {selector}"
        return found

    def click(self, selector: str) -> None:
        """A click of the mouse on the middle of an element."""
        where = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center', "
            "behavior: 'instant'}); const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left", clickCount=1
            )

    def picture(self, *, whole: bool = False) -> bytes:
        """A PNG of the window, or of the whole page."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        return base64.b64decode(data)


class Browser:
    """A running Chromium; `page` opens tabs."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._buffer = b""
        self._number = 0
        self._pages: dict[str, Page] = {}

    def page(self) -> Page:
        """A new tab that records its requests and console lines."""
        target = self._send("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self._send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self._send, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        return page

    def _send(self, method: str, parameters: dict[str, Any], session: str | None = None) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        text = json.dumps(message).encode() + b"\0"
        while text:
            text = text[os.write(self._write, text) :]
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._note(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._read, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        page, details = self._pages.get(event.get("sessionId", "")), event.get("params", {})
        if page is None:
            return
        match event["method"]:
            case "Network.requestWillBeSent":
                page.requests.append(details["request"]["url"])
            case "Network.loadingFailed" if "blockedReason" in details:
                page.blocked.append(details["blockedReason"])
            case "Runtime.consoleAPICalled":
                page.console.append(f"{details['type']}: {details['args']}")
            case "Runtime.exceptionThrown":
                page.console.append(f"exception: {details['exceptionDetails']}")
            case "Log.entryAdded":
                page.console.append(f"log: {details['entry']['text']}")
            case "Page.javascriptDialogOpening":
                page.dialogs.append(details["message"])


@contextlib.contextmanager
def browser(zone: str = "UTC") -> Iterator[Browser]:
    """Chromium with a new profile, whose clock is in this time zone."""
    assert EXECUTABLE is not None
    from_us, to_us = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(from_us[0]), str(to_us[1]), EXECUTABLE, f"--user-data-dir={profile}", *_FLAGS],
            pass_fds=(from_us[0], to_us[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"TZ": zone},
        )  # fmt: skip
        os.close(from_us[0])
        os.close(to_us[1])
        try:
            yield Browser(from_us[1], to_us[0])
        finally:
            os.close(from_us[1])
            os.close(to_us[0])
            process.terminate()
            process.wait()
