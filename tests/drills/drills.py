"""For each alarm the fault that it is there for."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from drills.corpus import SUBJECTS, documents
from drills.stack import Stack
from steadyrag.domain.errors import Refused, Unavailable
from steadyrag.resilience.corpus_changes import CorpusChanges
from steadyrag.resilience.counted_embedder import CountedEmbedder
from steadyrag.telemetry.metrics import collecting

type Step = Callable[[Stack], Awaitable[None]]


async def nothing(stack: Stack) -> None:
    """For a fault that is there once and for all."""


@dataclass(frozen=True, slots=True)
class Drill:
    """`breaks` begins the fault, `goes_on` is what it does each minute, and `mends` ends what
    `Stack.mend` doesn't. Minutes: healthy ones `before`, then at most `within` until the alarm
    fires, and at most `clears` until it is quiet again. `requests` come each minute, and
    `after` each minute once it is mended."""

    alarm: str
    fault: str
    breaks: Step
    goes_on: Step = nothing
    mends: Step = nothing
    before: int = 15
    within: int = 20
    clears: int = 30
    requests: int = 8
    after: int = 8


def _slowed(**factors: float) -> Step:
    async def breaks(stack: Stack) -> None:
        stack.asks.slowed.factors.update(factors)

    return breaks


def _down(part: str, dependency: str, *methods: str) -> Step:
    async def breaks(stack: Stack) -> None:
        for method in methods or ("*",):
            getattr(stack.asks, part).fail(Unavailable(dependency, "503"), on=method)

    return breaks


def _chance(**chances: float) -> Step:
    async def breaks(stack: Stack) -> None:
        for name, chance in chances.items():
            setattr(stack, name, chance)

    return breaks


def _released(then: Step) -> Step:
    async def breaks(stack: Stack) -> None:
        stack.release()
        await then(stack)

    return breaks


async def _seldom_slow(stack: Stack) -> None:
    """Held answers are as fast as ever, so that one search in fifteen or so is slow."""
    stack.asks.slowed.share = 0.3
    stack.asks.slowed.factors["vector_search"] = 33


async def _refused(stack: Stack) -> None:
    stack.asks.embedder.fail(Refused("embedding", "401: the key was revoked"))


async def _unasked(stack: Stack) -> None:
    stack.health_asked = False


async def _corpus_changes(stack: Stack) -> None:
    """As every document that is put or deleted makes held answers old."""
    changes = CorpusChanges([stack.asks.store], clock=lambda: stack.clock.now)
    await changes.changing("default", added=["again"])
    await changes.changed("default")


async def _wrong_documents(stack: Stack) -> None:
    """The namespace was filled with something else; a word in six is still there."""
    await stack.asks.fill({subject: f"Minutes of {subject}." for subject in SUBJECTS})
    await _corpus_changes(stack)


async def _right_documents(stack: Stack) -> None:
    await stack.asks.fill(documents())
    await _corpus_changes(stack)


async def _golden_gone(stack: Stack) -> None:
    await stack.asks.index.delete("default", [SUBJECTS[0]])
    await _corpus_changes(stack)


async def _schedules_off(stack: Stack) -> None:
    stack.scheduled.runs = False


async def _quality_crashes(stack: Stack) -> None:
    stack.scheduled.crashes.add("quality")


async def _documents_crash(stack: Stack) -> None:
    stack.documents_crash = True


async def _is_looked_up(stack: Stack) -> None:
    await stack.look_up()


async def _no_topic(stack: Stack) -> None:
    stack.scheduled.topic.fail(Unavailable("sns", "503"))


async def _embeds_everything(stack: Stack) -> None:
    """A sweep that takes every document for a changed one: 1,200 calls a minute."""
    embedder = CountedEmbedder(stack.ingesting.rig.embedder)
    with collecting():
        for _ in range(1200):
            await embedder.embed_passages(["minutes"])


async def _asks_anew(stack: Stack) -> None:
    """A crawler asks what nobody has asked before."""
    stack.curiosity.fresh = 1.0


async def _bad_live_config(stack: Stack) -> None:
    stack.asks.live.document = b'{"trusted_keys": "everybody"}'


async def _ingest_off(stack: Stack) -> None:
    stack.ingesting.runs = False
    await stack.ingesting.change("holidays", "The first of May.")


async def _unreadable(stack: Stack) -> None:
    await stack.ingesting.change("broken", "unreadable")


async def _ingest_crashes(stack: Stack) -> None:
    stack.ingesting.crashes = True
    await stack.ingesting.change("holidays", "The first of May.")


async def _changes_wait(stack: Stack) -> None:
    stack.asks.index.fail(Unavailable("index", "503"), on="upsert")
    for number in range(5):
        await stack.ingesting.change(f"news-{number}", f"News number {number}.")


_INDEX_DOWN = _down("index", "index")

DRILLS: tuple[Drill, ...] = (
    Drill("sources-slow", "vector search takes 1.5 s", _slowed(vector_search=25)),
    Drill(
        "sources-slow",
        "three new searches in ten take 2 s, at 45 a minute",
        _seldom_slow,
        requests=45,
        after=45,
    ),
    Drill("answers-slow", "the chat model takes 11 s", _slowed(generate=12)),
    Drill(
        "errors",
        "neither search of the index answers",
        _down("index", "index", "vector_search", "keyword_search"),
    ),
    Drill("errors", "one invocation in five crashes", _chance(crashes=0.2)),
    Drill("throttled", "Lambda refuses one search in five", _chance(throttles=0.2)),
    Drill("not-ready", "the index can't be reached", _down("index", "index", "status")),
    Drill("not-ready", "nobody asks: the schedule is off", _unasked),
    Drill("vendor-refuses", "the embedding key was revoked", _refused),
    Drill("degraded", "the reranker is down", _down("reranker", "reranker")),
    Drill("circuit-open", "the embedding API is down", _down("embedder", "embedding")),
    Drill(
        "cache-cold",
        "documents change every minute",
        nothing,
        goes_on=_corpus_changes,
        before=130,
        within=240,
        clears=240,
        requests=4,
        after=4,
    ),
    Drill(
        "relevance-low",
        "the namespace holds other documents",
        _wrong_documents,
        mends=_right_documents,
        before=130,
        within=240,
        clears=240,
        requests=4,
        after=4,
    ),
    Drill(
        "golden-lost",
        "a document that answers one is gone",
        _golden_gone,
        mends=_right_documents,
        within=65,
        clears=190,
        requests=1,
        after=1,
    ),
    Drill(
        "functions-failing",
        "the quality function crashes",
        _quality_crashes,
        within=130,
        clears=190,
        requests=0,
        after=0,
    ),
    Drill(
        "functions-failing",
        "the documents function crashes",
        _documents_crash,
        goes_on=_is_looked_up,
        clears=190,
        requests=0,
        after=0,
    ),
    Drill(
        "report-missing",
        "its schedule is off",
        _schedules_off,
        within=300,
        clears=130,
        requests=0,
        after=0,
    ),
    Drill(
        "report-missing",
        "the topic takes no report",
        _no_topic,
        before=8 * 60,
        within=60 * 60,
        clears=60 * 4,
        requests=0,
        after=0,
    ),
    Drill(
        "embedding-calls",
        "every document is embedded again and again",
        nothing,
        goes_on=_embeds_everything,
        within=60,
        clears=90,
        requests=1,
        after=1,
    ),
    Drill(
        "cost-forecast",
        "a crawler asks 14 new questions a minute",
        _asks_anew,
        within=360,
        clears=480,
        requests=14,
        after=1,
    ),
    Drill(
        "rate-limit-fallback",
        "the store takes no counts",
        _down("store", "dynamodb", "take"),
    ),
    Drill("live-config-unusable", "a document with a mistake", _bad_live_config, clears=60),
    Drill(
        "ingest-lag",
        "the ingest function does not run",
        _ingest_off,
        within=40,
        requests=1,
        after=1,
    ),
    Drill(
        "ingest-behind",
        "the index takes no documents",
        _changes_wait,
        within=120,
        clears=90,
        requests=1,
        after=1,
    ),
    Drill("ingest-dead", "a document can't be read", _unreadable, requests=1, after=1),
    Drill("ingest-errors", "the ingest function crashes", _ingest_crashes, requests=1, after=1),
    Drill(
        "release-errors",
        "the new version crashes once in five",
        _released(_chance(crashes=0.2)),
    ),
    Drill(
        "release-throttles",
        "the new version takes all there is to run",
        _released(_chance(throttles=0.2)),
    ),
    Drill(
        "release-slow",
        "the new version gets through to its vendors slowly",
        _released(_slowed(embed=45, vector_search=66, rerank=32, generate=9)),
    ),
    Drill("down", "the index is gone, search and check", _INDEX_DOWN),
)
