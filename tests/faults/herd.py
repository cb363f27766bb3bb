"""One cold question, asked by everybody at once: how often the model has to answer it.

Cold is the question, not the environments: they have answered another one, so that imports
and connections, which would spread the herd out, are behind them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from faults.asking import application, ask
from faults.figures import Figure
from faults.filling import create_index, fill, order
from faults.record import asked, forget
from faults.worker import essentials, patient_stores
from faults.world import World
from integration.fleet import Fleet, fleet
from integration.vendored import TEXTS
from steadyrag.progress import progress
from steadyrag.settings import Settings, load
from steadyrag.wiring.service import build

AT_ONCE = 200
PROCESSES = 8
CHAT_MS = 400
OTHER = "Does bread need flour?"
QUESTIONS = (
    "What is the capital of South Korea?",
    "What does sourdough bread need?",
    "한글은 누가 언제 창제한 문자입니까?",
    "김치는 무엇을 발효시킨 음식입니까?",
    "Which city is the largest of South Korea?",
)

type Ask = Callable[[str], Awaitable[list[dict[str, Any]]]]


@dataclass(frozen=True, slots=True)
class Herd:
    """What one question cost, and what its callers got. `right` is how many replies were
    full, and the same as most others; `seconds` is how long the last one waited."""

    question: str
    llm_calls: int
    embedding_calls: int
    replies: int
    right: int
    sources: Counter[str]
    seconds: float


def run(world: World) -> tuple[list[Figure], list[RenderableType]]:
    vendors = world.vendors()
    asyncio.run(_prepared(load(vendors)))
    order(vendors["OPENAI_BASE_URL"], "_faults", {"operation": "chat", "latency_ms": CHAT_MS})
    valkey = {"STEADYRAG_CACHE_URL": world.valkey.url}
    dynamodb = {"STEADYRAG_TABLE_PREFIX": world.new_table()}
    variables = {**vendors, "AWS_ENDPOINT_URL_DYNAMODB": world.local_aws.url}
    figures: list[Figure] = []
    herds: dict[str, list[Herd]] = {}
    with (
        progress("herd") as advance,
        fleet(PROCESSES, {}, worker="faults.worker", variables=variables) as environments,
    ):
        trials = (
            ("one process, Valkey", 1, partial(_in_one_process, {**vendors, **valkey})),
            (f"{PROCESSES} processes, Valkey", 2, partial(_in_processes, environments, valkey)),
            (f"{PROCESSES} processes, DynamoDB", 2, partial(_in_processes, environments, dynamodb)),
        )
        for done, (where, most, trial) in enumerate(trials, 1):
            world.forget()
            herds[where] = asyncio.run(trial(vendors["OPENAI_BASE_URL"]))
            figures.append(_figure(where, herds[where], most=most))
            advance(done, len(trials), where)
    return figures, [_table(herds)]


async def _in_one_process(variables: Mapping[str, str], openai: str) -> list[Herd]:
    settings = load(variables)
    service = build(settings, stores=patient_stores(settings))
    app = application(service)

    async def everybody(question: str) -> list[dict[str, Any]]:
        replies = await asyncio.gather(*(ask(app, question) for _ in range(AT_ONCE)))
        return [essentials(reply) for reply in replies]

    await ask(app, OTHER)
    herds = [await _herd(openai, question, everybody) for question in QUESTIONS]
    await service.aclose()
    return herds


async def _in_processes(
    environments: Fleet, variables: Mapping[str, str], openai: str
) -> list[Herd]:
    async def everybody(question: str) -> list[dict[str, Any]]:
        share = AT_ONCE // PROCESSES
        told = environments.all("ask", questions=[question], times=share)
        return [reply for replies in told for reply in replies]

    environments.all("anew", variables=variables)
    environments.all("ask", questions=[OTHER])
    return [await _herd(openai, question, everybody) for question in QUESTIONS]


async def _herd(openai: str, question: str, everybody: Ask) -> Herd:
    forget(openai)
    started = time.perf_counter()
    replies = await everybody(question)
    seconds = time.perf_counter() - started
    calls = asked(openai)
    full = [reply for reply in replies if reply["status"] == 200 and reply["mode"] == "full"]
    answers = Counter(reply["answer"] for reply in full)
    return Herd(
        question=question,
        llm_calls=calls["chat"],
        embedding_calls=calls["embeddings"],
        replies=len(replies),
        right=max(answers.values(), default=0),
        sources=Counter(reply["tier"] or reply["cache"] for reply in full),
        seconds=seconds,
    )


def _figure(where: str, herds: Sequence[Herd], *, most: int) -> Figure:
    """`most` is how many LLM calls a question may cost."""
    llm = max(herd.llm_calls for herd in herds)
    embedding = max(herd.embedding_calls for herd in herds)
    right = sum(herd.right for herd in herds)
    replies = sum(herd.replies for herd in herds)
    once = most == 1
    return Figure(
        name=f"{AT_ONCE} cold identical questions at once, {where}",
        bar=("1 LLM call and 1 embedding call" if once else f"at most {most} LLM calls")
        + "; every answer full and the same",
        measured=f"LLM calls {llm}, embedding calls {embedding} at worst of {len(herds)} "
        f"questions; {right:,} of {replies:,} full and the same",
        met=all(
            1 <= herd.llm_calls <= most
            and (herd.embedding_calls == 1 or not once)
            and herd.right == herd.replies == AT_ONCE
            for herd in herds
        ),
        values={
            "at_once": AT_ONCE,
            "questions": len(herds),
            "worst_llm_calls": llm,
            "worst_embedding_calls": embedding,
            "replies": replies,
            "full_and_the_same": right,
            "slowest_s": max(herd.seconds for herd in herds),
        },
    )


def _table(herds: Mapping[str, Sequence[Herd]]) -> RenderableType:
    table = Table(
        title=f"{AT_ONCE} times the same cold question at once",
        caption=f"The model takes {CHAT_MS} ms. Seconds until the last of them was answered, "
        "and where their answers came from.",
        caption_justify="left",
    )
    table.add_column("environments")
    table.add_column("question", overflow="fold")
    for number in ("LLM calls", "embedding calls", "seconds"):
        table.add_column(number, justify="right")
    table.add_column("answers from", overflow="fold")
    for where, seen in herds.items():
        for herd in seen:
            came = ", ".join(f"{name} {count}" for name, count in herd.sources.most_common())
            calls = (str(herd.llm_calls), str(herd.embedding_calls))
            table.add_row(where, herd.question, *calls, f"{herd.seconds:.2f}", came)
    return table


async def _prepared(settings: Settings) -> None:
    await create_index(settings)
    await fill(settings, TEXTS, "default")
