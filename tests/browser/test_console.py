"""The console as the person at this machine sees it."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from playwright.sync_api import Page, expect

from browser.conftest import SCRIPT, Open, Served
from steadyrag.adapters.local.records import SqliteRecords
from steadyrag.domain.records import Recorded
from vendors import Fault

WITHIN_PX = 1.5
LEAST_PX = 2.0
"""As wide as the narrowest bar is drawn."""


def ask(page: Page, question: str) -> None:
    """Asks as a person does, and waits for what comes of it."""
    page.locator("#question").fill(question)
    page.locator("#question").press("Enter")
    expect(page.locator("#told")).to_have_text(re.compile("Answered|No answer|답"))


def search_id(page: Page) -> str:
    return page.locator("#outcome dd code").last.inner_text()


def recorded(page: Page, id_: str) -> dict[str, Any]:
    page.wait_for_selector(".waterfall")
    found: dict[str, Any] = page.request.get(
        page.url.partition("/console")[0] + f"/console/api/searches/{id_}"
    ).json()
    return found


def stored(served: Served, id_: str) -> Recorded:
    """From the file that the server writes, read by another process than the server's."""

    async def read() -> Recorded | None:
        records = SqliteRecords(served.data / "records.sqlite")
        found = await records.get(id_)
        await records.aclose()
        return found

    with ThreadPoolExecutor(1) as thread:  # playwright's loop runs in this one
        found = thread.submit(lambda: asyncio.run(read())).result()
    assert found is not None
    return found


def test_a_question_that_is_typed_is_answered_with_its_sources(open_page: Open) -> None:
    page = open_page()
    ask(page, "How long does a refund take?")
    expect(page.locator(".answer")).to_contain_text("A refund takes five working days")
    expect(page.locator("#outcome .badge")).to_have_text("Full answer")
    expect(page.locator(".source").first).to_contain_text("Refunds")
    expect(page.locator("#told")).to_have_attribute("aria-live", "polite")
    for told in ("on the server", "computed now", "embedded", "$"):
        expect(page.locator("#outcome > .pairs")).to_contain_text(told)


def test_asked_again_it_says_that_the_answer_was_held_unless_a_new_one_is_wanted(
    open_page: Open,
) -> None:
    page = open_page()
    ask(page, "A warranty claim needs what?")
    ask(page, "A warranty claim needs what?")
    expect(page.locator("#outcome > .pairs")).to_contain_text("held in memory, 0 seconds old")
    page.get_by_label("nothing from the cache").check()
    ask(page, "A warranty claim needs what?")
    expect(page.locator("#outcome > .pairs")).to_contain_text("as was asked for")


def test_a_citation_leads_to_its_source(open_page: Open) -> None:
    page = open_page(viewport={"width": 800, "height": 300})
    ask(page, "How long does a refund take?")
    page.wait_for_selector(".waterfall")
    page.get_by_role("button", name="Source 1").click()
    expect(page.locator(".source.lit")).to_have_id("source-1")
    expect(page.locator("#source-1")).to_be_focused()
    expect(page.locator("#source-1")).to_be_in_viewport()


def test_stages_are_drawn_when_they_ran(open_page: Open, served: Served) -> None:
    served.vendors.slow(embeddings=60, vector_search=40, keyword_search=90, rerank=50, chat=120)
    page = open_page()
    ask(page, "How many days does a refund take to come back?")
    record = recorded(page, search_id(page))
    stages = {stage["name"]: stage for stage in record["stages"]}
    assert {"embedding", "vector", "keyword", "rerank", "generation"} <= stages.keys()
    assert stages["keyword"]["start_ms"] < stages["vector"]["start_ms"]
    page.wait_for_selector(".waterfall")
    whole = max(record["total_ms"], *(s["start_ms"] + s["duration_ms"] for s in stages.values()))
    for name, stage in stages.items():
        row = page.locator(f'.stage[data-stage="{name}"]')
        track, bar = row.locator(".track").bounding_box(), row.locator(".bar").bounding_box()
        assert track is not None
        assert bar is not None
        scale = track["width"] / whole
        assert abs(bar["x"] - track["x"] - stage["start_ms"] * scale) < WITHIN_PX, name
        drawn = max(stage["duration_ms"] * scale, LEAST_PX)
        assert abs(bar["width"] - drawn) < WITHIN_PX, name


def test_what_a_stage_did_is_told_by_keyboard_too(open_page: Open) -> None:
    page = open_page()
    ask(page, "When does a refund arrive?")
    facts = page.locator('.stage[data-stage="generation"] .facts')
    expect(facts).to_be_hidden()
    page.locator('.stage[data-stage="generation"]').focus()
    expect(facts).to_be_visible()
    for told in ("model", "tokens read", "cost"):
        expect(facts).to_contain_text(told)


def test_what_was_lost_is_said_in_words_and_drawn(open_page: Open, served: Served) -> None:
    served.vendors.pinecone.faults.add("rerank", Fault("status", status=500))
    page = open_page()
    ask(page, "A refund goes back to which card?")
    expect(page.locator("#outcome .badge")).to_have_text("Partial answer")
    expect(page.locator(".lost-stages")).to_have_text("Lost on the way: reranking")
    row = page.locator('.stage.lost[data-stage="rerank"]')
    row.hover()
    for told in ("attempts", "reason"):
        expect(row.locator(".facts")).to_contain_text(told)


def test_a_thumb_and_a_comment_are_stored(open_page: Open, served: Served) -> None:
    page = open_page()
    ask(page, "How long do I wait for a refund?")
    page.get_by_role("button", name="Bad answer").click()
    expect(page.locator(".feedback + .told")).to_have_text("Stored: bad")
    page.get_by_role("textbox", name="Comment").fill("It says nothing of vouchers.")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".feedback + .told")).to_contain_text("vouchers")
    said = stored(served, search_id(page)).feedback
    assert [one.rating for one in said if one.rating] == [-1]
    assert [one.comment for one in said if one.comment] == ["It says nothing of vouchers."]


def test_a_source_that_is_opened_counts_as_clicked(open_page: Open, served: Served) -> None:
    page = open_page()
    ask(page, "Which card does a refund go to?")
    page.locator("#source-2 summary").click()
    expect(page.locator(".feedback + .told")).to_have_text("Stored: opened source 2")
    [said] = stored(served, search_id(page)).feedback
    assert said.clicked_rank == 2


def test_a_document_that_holds_a_script_runs_none(open_page: Open) -> None:
    page = open_page()
    ask(page, "What does a warranty claim need?")
    source = page.locator(".source", has_text="Warranty")
    expect(source.locator(".source-title")).to_have_text(f"Warranty {SCRIPT}")
    source.locator("summary").click()
    expect(source.locator(".source-text")).to_contain_text("onerror")
    assert source.locator("a, img, script").count() == 0
    expect(source).to_contain_text("javascript:")
    expect(page).to_have_title("Steadyrag console")
    page.goto(page.url.partition("#")[0] + "#searches")
    page.locator(".search summary").first.click()
    expect(page).to_have_title("Steadyrag console")


def test_a_question_that_gets_nowhere_is_still_there_with_the_reason(open_page: Open) -> None:
    page = open_page()
    page.route("**/search", lambda route: route.abort())
    ask(page, "Is anybody there?")
    expect(page.locator(".failure")).to_contain_text("could not be reached")
    expect(page.locator(".failure")).to_contain_text("Is anybody there?")
    expect(page.locator("#question")).to_have_value("Is anybody there?")


def test_a_refused_question_says_which_field_and_is_on_record(open_page: Open) -> None:
    page = open_page()
    page.locator("#namespace").fill("no such/name")
    ask(page, "What is refused?")
    expect(page.locator(".failure .why")).to_contain_text("namespace")
    request_id = page.locator(".failure dd").last.inner_text()
    page.get_by_role("tab", name="Searches").click()
    page.get_by_label("only failed ones").check()
    failed = page.locator(".search", has_text="What is refused?").first
    failed.locator("summary").click()
    expect(failed).to_contain_text("InvalidInput")
    expect(failed).to_contain_text(request_id)


def test_a_search_that_failed_is_found_by_its_address(open_page: Open, served: Served) -> None:
    for vendor, operation in (
        (served.vendors.openai, "embeddings"),
        (served.vendors.pinecone, "keyword_search"),
    ):
        vendor.faults.add(operation, Fault("status", status=500))
    page = open_page()
    ask(page, "Which vendors are down?")
    expect(page.locator("#outcome .badge")).to_have_text("No answer")
    record = recorded(page, search_id(page))
    assert record["failed"]
    linked = open_page(f"/console#search={record['search_id']}")
    expect(linked.get_by_role("tab", name="Searches")).to_have_attribute("aria-selected", "true")
    opened = linked.locator(".search details[open]")
    expect(opened).to_contain_text("Which vendors are down?")
    expect(opened.locator(".stage.lost")).to_have_count(2)
    expect(opened).to_contain_text(record["search_id"])


def test_tabs_are_moved_by_arrow_keys_and_content_is_reached_by_one_link(open_page: Open) -> None:
    page = open_page()
    names = ("Ask", "Searches", "Health")
    page.get_by_role("tab", name="Ask").focus()
    for key, chosen in (
        ("ArrowRight", "Searches"),
        ("ArrowRight", "Health"),
        ("ArrowRight", "Ask"),
        ("ArrowLeft", "Health"),
        ("Home", "Ask"),
        ("End", "Health"),
    ):
        page.keyboard.press(key)
        expect(page.get_by_role("tab", name=chosen)).to_have_attribute("aria-selected", "true")
        expect(page.get_by_role("tabpanel", name=chosen)).to_be_visible()
        assert page.get_by_role("tabpanel").count() == 1
        reachable = [
            n for n in names if page.get_by_role("tab", name=n).get_attribute("tabindex") == "0"
        ]
        assert reachable == [chosen]
    page.get_by_role("link", name="Skip to content").press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_a_browser_in_korean_gets_korean_and_keeps_what_is_chosen(open_page: Open) -> None:
    page = open_page(locale="ko-KR")
    expect(page.get_by_role("tab", name="질문")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "ko"
    ask(page, "연차 휴가는 며칠인가?")
    expect(page.locator(".answer")).to_contain_text("열다섯")
    expect(page.locator("#outcome .badge")).to_have_text("온전한 답")
    page.get_by_role("button", name="English").click()
    expect(page.locator("#outcome .badge")).to_have_text("Full answer")
    page.reload()
    expect(page.get_by_role("tab", name="Ask")).to_be_visible()


def test_dark_is_the_systems_choice_until_another_is_made(open_page: Open) -> None:
    def ground(page: Page) -> int:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3]))

    page = open_page(color_scheme="dark")
    assert ground(page) < 150
    page.get_by_role("button", name="Light").click()
    assert ground(page) > 600
    page.reload()
    assert ground(page) > 600
    assert ground(open_page(color_scheme="light")) > 600


def test_health_shows_figures_against_goals_and_what_alarms_say(open_page: Open) -> None:
    page = open_page()
    ask(page, "Does a refund take long?")
    page.get_by_role("tab", name="Health").click()
    slow = page.locator('.card[data-goal="total_p99"]')
    expect(slow.locator(".figure")).to_contain_text("ms")
    expect(slow).to_contain_text("goal below 4,000 ms")
    expect(slow).to_contain_text("alarm above 8,000 ms")
    expect(slow.locator("svg circle, svg polyline").first).to_be_attached()
    expect(page.locator("#alarm-answers-slow")).to_have_attribute("data-state", "OK")
    expect(page.locator("#alarm-throttled")).to_contain_text("No data here")
    expect(page.locator("#alarm-throttled")).to_contain_text("AWS/Lambda Throttles")


def test_a_runbook_opens_over_the_page_and_closes_by_escape(open_page: Open) -> None:
    page = open_page("/console#health")
    page.locator("#alarm-errors").get_by_role("link", name="Runbook").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator("#runbook-text h2, #runbook-text h3").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_phone_shows_all_of_it_without_scrolling_sideways(open_page: Open) -> None:
    page = open_page(viewport={"width": 360, "height": 740})
    ask(page, "What does a warranty claim need?")
    page.wait_for_selector(".waterfall")
    for tab in ("Ask", "Searches", "Health"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(200)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, tab


def test_every_control_has_a_name_and_can_be_reached(open_page: Open) -> None:
    page = open_page()
    ask(page, "How long does a refund take?")
    page.wait_for_selector(".waterfall")
    for role in ("button", "textbox", "checkbox", "spinbutton", "tab"):
        named = page.get_by_role(role, name=re.compile(r"\S"))  # type: ignore[arg-type]
        everything = page.get_by_role(role)  # type: ignore[arg-type]
        assert named.count() == everything.count() > 0, role
