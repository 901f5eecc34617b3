"""A headless Chromium, driven by the DevTools protocol over a websocket: enough of it to use a page as people do."""

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 20.0  # seconds: Chromium takes two to start, and several on a machine that is busy
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # which root, as containers run tests, cannot have
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--lang=en-GB",
    "--remote-debugging-port=0",
)
_KEYS = {"Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40, "/": 191}  # and their codes


def executable() -> str | None:
    """Return where Chromium is, None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def chromium(folder: Path) -> Iterator[str]:
    """Run a Chromium that keeps its files in a folder; yields the URL of its websocket."""
    path = executable()
    assert path is not None
    told = folder / "DevToolsActivePort"
    command = (path, *_FLAGS, f"--user-data-dir={folder}", "about:blank")
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        end = time.monotonic() + PATIENCE
        while not (told.exists() and len(lines := told.read_text().split("\n")) >= 2):
            assert process.poll() is None, (folder / "output").read_text()
            assert time.monotonic() < end, "Chromium does not say where it listens"
            time.sleep(0.02)
        yield f"ws://127.0.0.1:{lines[0]}{lines[1]}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # those that it has started share its group
        process.wait(timeout=PATIENCE)


class Page:
    """One tab; `errors` are what its console, its scripts and its security policy have complained of."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.errors: list[str] = []
        self._socket = socket
        self._session = ""
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str) -> AsyncIterator[Self]:
        """Open a tab of the browser whose websocket this is."""
        async with aiohttp.ClientSession() as client, client.ws_connect(url, max_msg_size=0) as socket:
            page = cls(socket)
            reading = asyncio.create_task(page._read())
            try:
                context = (await page.call("Target.createBrowserContext"))["browserContextId"]
                made = await page.call("Target.createTarget", url="about:blank", browserContextId=context)
                attached = await page.call("Target.attachToTarget", targetId=made["targetId"], flatten=True)
                page._session = attached["sessionId"]
                for domain in ("Page", "Runtime", "Log"):
                    await page.call(f"{domain}.enable")
                yield page
                page._session = ""
                await page.call("Target.disposeBrowserContext", browserContextId=context)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Call a method of the protocol."""
        self._number += 1
        number = self._number
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send_str(json.dumps(message | ({"sessionId": self._session} if self._session else {})))
        async with asyncio.timeout(2 * PATIENCE):  # `until` has its own
            result: dict[str, Any] = await answer
        return result

    async def _read(self) -> None:
        """Hand answers to those who wait, and keep complaints."""
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                answer = self._answers.pop(told["id"])
                if "error" in told:
                    answer.set_exception(AssertionError(told["error"]))
                else:
                    answer.set_result(told["result"])
            else:
                self._note(told["method"], told["params"])

    def _note(self, method: str, told: dict[str, Any]) -> None:
        """Keep an event that is a complaint."""
        if method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "assert", "warning"):
            self.errors.append(str(told["args"]))

    # -- what a person does --------------------------------------------------------------------------------------------

    async def goto(self, url: str) -> None:
        """Open a URL; where only the part behind the # differs the page stays."""
        await self.call("Page.navigate", url=url)

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, or what its promise becomes."""
        told = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def until(self, expression: str, seconds: float = PATIENCE) -> None:
        """Wait until an expression is true. Raises `AssertionError` with what the page shows instead."""
        waiting = f"""new Promise((resolve) => {{
            const end = performance.now() + {seconds * 1000};
            const look = () => {{
                const met = Boolean({expression});
                if (met || performance.now() > end) resolve(met);
                else setTimeout(look, 15);
            }};
            look();
        }})"""
        met = await self.evaluate(waiting)
        assert met, f"not in time: {expression}\n{await self.evaluate('document.body?.innerText')}\n{self.errors}"

    async def text(self, selector: str) -> str:
        """Return what an element shows."""
        return str(await self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    async def shows(self, selector: str, text: str, seconds: float = PATIENCE) -> None:
        """Wait until an element shows a text."""
        wanted = f"(document.querySelector({json.dumps(selector)})?.innerText ?? '').includes({json.dumps(text)})"
        await self.until(wanted, seconds)

    async def press(self, key: str) -> None:
        """Press a key that has a name, or `/`."""
        fields: dict[str, object] = {"key": key, "code": key, "windowsVirtualKeyCode": _KEYS[key]}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **fields, **({"text": key} if key == "/" else {}))
        await self.call("Input.dispatchKeyEvent", type="keyUp", **fields)

    async def type(self, text: str) -> None:
        """Type a text where the cursor is."""
        await self.call("Input.insertText", text=text)

    async def click(self, selector: str) -> None:
        """Click the middle of an element."""
        place = await self.evaluate(
            f"""(() => {{
                const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        for sort in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=sort, x=place[0], y=place[1], button="left", clickCount=1)

    async def look_like(self, width: int, height: int, *, dark: bool = False, still: bool = False) -> None:
        """Be a window of a size, in a scheme of colours; `still` is for people who want no motion."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def picture(self, path: Path) -> None:
        """Write what is seen as a PNG."""
        told = await self.call("Page.captureScreenshot", format="png", optimizeForSpeed=False)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(told["data"]))
