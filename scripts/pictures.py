"""Draws the README's example: the request, and what the service answers to it; and the console.

Pictures, because the READMEs are indexed by `make run`: an example in their text would be
found instead of the text it quotes.
"""

import io
import json
import shutil
import sys
import urllib.request
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

IMAGES = Path(__file__).parents[1] / "docs" / "images"
QUESTIONS = {
    "answer.svg": "What happens when the reranker is down?",
    "answer.ko.svg": "재순위화가 멈추면 어떻게 되나요?",
}
WIDTH = 96
CONSOLE = {
    "console.png": ("answer.svg", {"locale": "en-US", "color_scheme": "light"}),
    "console.ko.png": ("answer.ko.svg", {"locale": "ko-KR", "color_scheme": "dark"}),
}
"""By picture: whose question is asked, and by what browser."""

# Rich's own template fetches a font from the web.
TEMPLATE = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: "Fira Code", "D2Coding", "Noto Sans Mono CJK KR", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def ask(address: str, question: str) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - the address is the caller's own server
        f"{address}/search",
        json.dumps({"query": question}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:  # noqa: S310
        return json.load(response)


def draw(question: str, answer: dict[str, Any]) -> str:
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    body = json.dumps({"query": question}, ensure_ascii=False)
    for line in (
        "$ curl -s http://127.0.0.1:8080/search -H 'content-type: application/json' \\",
        f"    -d '{body}'\n",
    ):
        console.print(Text(line, style="bold green"))
    console.print(Text(answer["answer"] + "\n"))
    for source in answer["sources"][:3]:
        line = f"[{source['rank']}] {source['score']:.2f}  {source['document_id']}"
        console.print(Text(line, style="cyan", overflow="ellipsis", no_wrap=True))
    console.print(Text(f"\nmode: {answer['mode']}", style="dim"))
    return console.export_svg(theme=MONOKAI, code_format=TEMPLATE, unique_id="answer", title="")


def photograph(address: str) -> None:
    """The console with an answer that was computed for it. Needs Chromium, and a font that has
    Korean letters (Debian: chromium, fonts-noto-cjk)."""
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        sys.exit("docs/images/console*.png: there is no Chromium to draw them with")
    with sync_playwright() as playwright:
        # The server is our own, and root may not use Chromium's sandbox in a container.
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for name, (question, options) in CONSOLE.items():
            page = browser.new_page(**options, viewport={"width": 1080, "height": 860})
            page.goto(f"{address}/console")
            page.locator("#fresh").check()
            page.locator("#question").fill(QUESTIONS[question])
            page.locator("#question").press("Enter")
            page.wait_for_selector(".waterfall")
            page.screenshot(path=IMAGES / name)
            print(f"docs/images/{name}")
        browser.close()


def main(address: str) -> None:
    IMAGES.mkdir(exist_ok=True)
    photograph(address)  # first: a question that was asked before needs no embedding
    for name, question in QUESTIONS.items():
        answer = ask(address, question)
        (IMAGES / name).write_text(draw(question, answer), encoding="utf-8")
        print(f"docs/images/{name}: {answer['answer']}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080")
