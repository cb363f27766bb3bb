"""A real `steadyrag serve` over the local vendors, and a real Chromium in front of it.

Playwright drives the system's browser: it waits by itself and emulates languages, themes and
phones, in two packages, and downloads nothing. Its event loop runs in this thread as long as
it does, so it is stopped with each module.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from builders import chunk
from integration.vendored import Vendors, vendors
from servers import running as serves
from steadyrag.adapters.local.child_process import free_port
from steadyrag.adapters.local.services import start_valkey
from steadyrag.domain.models import EmbeddedChunk
from steadyrag.settings import load
from steadyrag.wiring.service import build

CLI = Path(sys.executable).with_name("steadyrag")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SCRIPT = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
TEXTS = {
    "refunds": ("Refunds", "A refund takes five working days and goes back to the card."),
    "warranty": (f"Warranty {SCRIPT}", f"A warranty claim needs the receipt. {SCRIPT}"),
    "휴가": ("휴가", "연차 휴가는 입사한 날부터 일 년에 열다섯 날이다."),
}
"""By document id: title and text."""


@dataclass(frozen=True, slots=True)
class Served:
    vendors: Vendors
    url: str
    data: Path


async def _fill(environment: dict[str, str]) -> None:
    service = build(load(environment))
    made = await service.embedder.embed_passages([text for _, text in TEXTS.values()])
    chunks = [
        EmbeddedChunk(
            chunk(text, id=f"c{number}", document_id=name, title=title, url=_url(name)), vector
        )
        for number, ((name, (title, text)), vector) in enumerate(
            zip(TEXTS.items(), made.vectors, strict=True)
        )
    ]
    await service.index.upsert("default", chunks)
    await service.aclose()


def _url(name: str) -> str:
    return (
        "javascript:document.title='owned'" if name == "warranty" else f"https://docs.test/{name}"
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if CHROMIUM is None:
        pytest.skip("there is no browser: apt-get install chromium")
    data = tmp_path_factory.mktemp("data")
    valkey = start_valkey(tmp_path_factory.mktemp("valkey"))
    with serves(valkey), vendors() as running:
        port = free_port()
        own = {
            **running.environment,
            "STEADYRAG_DATA_DIR": str(data),
            "STEADYRAG_PORT": str(port),
            "STEADYRAG_CACHE_URL": valkey.url,
            "STEADYRAG_RATE_LIMIT": "off",
            "STEADYRAG_SETTLE_S": "0",
        }
        asyncio.run(_fill(own))
        running.pinecone.settle()
        process = subprocess.Popen(
            [str(CLI), "serve"], stderr=subprocess.PIPE, env={**_others(), **own}, text=True
        )
        try:
            assert process.stderr is not None
            said = ""
            while "Ready on" not in said:
                line = process.stderr.readline()
                assert line, said
                said += line
            # What it logs from now on is read by nobody, and must not fill the pipe.
            drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
            yield Served(running, f"http://127.0.0.1:{port}", data)
        finally:
            process.terminate()
            process.wait(timeout=20)
        drain.wait(timeout=20)
        process.stderr.close()


def _others() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("STEADYRAG_")}


@pytest.fixture(scope="module")
def browser(served: Served) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Chromium's own sandbox needs rights that root in a container does not have.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield launched
        launched.close()


type Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, served: Served) -> Iterator[Open]:
    """Opens the console; options are those of a browser context. What the page's own scripts
    complain of fails the test."""
    served.vendors.forget()
    wrong: list[str] = []
    contexts = []

    def opened(path: str = "/console", **options: object) -> Page:
        context = browser.new_context(**{"locale": "en-US", **options})  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda said: (
                wrong.append(said.text)
                if said.type == "error" and "Failed to load resource" not in said.text
                else None
            ),
        )
        page.on("dialog", lambda dialog: (wrong.append("a dialog"), dialog.dismiss()))
        page.goto(f"{served.url}{path}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
