"""Keys, models and the index."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from steadyrag.doctor.checking import Check, Finding, Findings, fail, lost, ok, skip, warn
from steadyrag.domain.errors import DependencyError
from steadyrag.domain.models import Chunk, Hit, Question
from steadyrag.domain.ports import Embedder, Generator, Index, Reranker
from steadyrag.domain.prices import AS_OF, MODELS

type Reason = Callable[[DependencyError], str | None]
"""Why a vendor refused: key, permission, quota, busy, unknown, dimension; or None."""


class Description(Protocol):
    """A hosted index. `differences`: what of its schema does not fit, in words."""

    @property
    def name(self) -> str: ...
    @property
    def ready(self) -> bool: ...
    @property
    def state(self) -> str: ...
    @property
    def differences(self) -> Sequence[str]: ...


class Hosted(Protocol):
    async def described(self) -> Description | None: ...

    async def counts(self) -> Mapping[str, int]: ...


def key(name: str, read: Callable[[], Awaitable[str]], *, held_in: str) -> Check:
    """Whether a vendor's key can be read. `held_in` is a setting's reference or a variable."""
    secret, _, at = held_in.partition(":")
    where = {
        "secretsmanager": f"aws secretsmanager create-secret --name {at} --secret-string …",
        "ssm": f"aws ssm put-parameter --type SecureString --name {at} --value …",
    }.get(secret, f"set {held_in}")

    async def look() -> Finding:
        if not (await read()).strip():
            return fail(f"{held_in} is empty", do=where)
        return ok(f"read from {held_in}")

    def unreadable(error: DependencyError) -> Finding:
        return fail(
            error.problem,
            do=f"if it isn't there: {where} (the bare key, no JSON); else let these credentials "
            "and the functions' roles read it",
        )

    return Check(f"{name} key", look, unreadable)


def embedding(embedder: Embedder, reason: Reason, *, model: str, dimension: int) -> Check:
    """Embeds one word."""

    async def look() -> Finding:
        made = await embedder.embed_query("ok")
        if len(made.vector) != dimension:
            return fail(
                f"{embedder.name} gives {len(made.vector)} dimensions, not {dimension}",
                do=f"set STEADYRAG_EMBEDDING_DIMENSION={len(made.vector)}",
            )
        return ok(f"{embedder.name} embeds")

    return Check(
        "embedding model",
        look,
        partial(refused, reason, vendor="OpenAI", setting="STEADYRAG_EMBEDDING_MODEL", what=model),
    )


def chat(name: str, generator: Generator, reason: Reason, *, setting: str) -> Check:
    """Looks the model up, which costs nothing."""

    async def look() -> Finding:
        await generator.ping()
        return ok(f"{generator.model} is there")

    return Check(
        name,
        look,
        partial(refused, reason, vendor="OpenAI", setting=setting, what=generator.model),
    )


def reranker(ranker: Reranker, reason: Reason, *, model: str) -> Check:
    """Ranks one passage."""

    async def look() -> Finding:
        await ranker.rerank(
            Question("ok", "en"), [Hit(Chunk("ok", "ok", "", "", "ok", 1), 1.0)], top_k=1
        )
        return ok(f"{model} ranks")

    return Check(
        "reranker",
        look,
        partial(refused, reason, vendor="Pinecone", setting="STEADYRAG_RERANK_MODEL", what=model),
    )


def prices(models: Iterable[str]) -> Check:
    """Whether what `models` cost is known."""

    async def look() -> Finding:
        if unknown := [model for model in models if model not in MODELS]:
            return warn(
                f"no price is known for {', '.join(unknown)}: answers have no cost, and the "
                "alarm cost-forecast overlooks what it costs",
                do="add it to shared/steadyrag/domain/prices.py, or use a model that is there",
            )
        return ok(f"of {AS_OF}")

    return Check("prices", look)


def calibration(fitted: str | None, *, model: str) -> Check:
    """`fitted` is what STEADYRAG_RERANK_CALIBRATION says, for the model that it names."""

    async def look() -> Finding:
        if fitted is None:
            return warn(
                "scores are not calibrated, so the alarm relevance-low can't fire",
                do="`steadyrag calibrate FOLDER` fits STEADYRAG_RERANK_CALIBRATION, a stack's "
                "parameter RerankCalibration, on your own questions",
            )
        if (theirs := fitted.partition(":")[0]) != model:
            return warn(
                f"the calibration is for {theirs} and not used with {model}, so the alarm "
                "relevance-low can't fire",
                do="`steadyrag calibrate FOLDER` fits one for this model; put it into "
                "STEADYRAG_RERANK_CALIBRATION, a stack's parameter RerankCalibration",
            )
        return ok(f"{model}'s scores are probabilities")

    return Check("score calibration", look)


def hosted_index(hosted: Hosted, reason: Reason, *, host: str) -> list[Check]:
    """Its schema, by the control plane, and what it holds, by its own host."""

    async def schema() -> Findings:
        found = await hosted.described()
        if found is None:
            return fail(
                f"this key's project has no index at {host}",
                do="set STEADYRAG_PINECONE_INDEX_HOST to what `steadyrag index create` prints, "
                "or use a key of the project that has the index",
            )
        if found.differences:
            return [
                fail(
                    f"{found.name}: {difference}",
                    do="a schema can't be changed: make another index with `steadyrag index "
                    "create --name …`, or set STEADYRAG_EMBEDDING_DIMENSION as the index has it",
                )
                for difference in found.differences
            ]
        if not found.ready:
            return fail(f"{found.name} is {found.state}", do="wait until it is Ready")
        return ok(f"{found.name} fits")

    async def contents() -> Finding:
        return _contents(await hosted.counts())

    why = partial(
        refused, reason, vendor="Pinecone", setting="STEADYRAG_PINECONE_INDEX_HOST", what=host
    )
    return [Check("index schema", schema, why), Check("index contents", contents, why)]


def local_index(index: Index) -> Check:
    async def look() -> Finding:
        status = await index.status()
        if not status.ready:
            return fail(status.detail, do="run `steadyrag ingest` again")
        return _contents({"all namespaces": status.chunks or 0})

    return Check("index contents", look)


def _contents(counts: Mapping[str, int]) -> Finding:
    held = {name: count for name, count in sorted(counts.items()) if count}
    if not held:
        return warn("the index is empty", do="put documents in: `steadyrag ingest FOLDER`")
    shown = ", ".join(f"{name or 'default'} {count:,}" for name, count in list(held.items())[:5])
    more = f" and {len(held) - 5:,} more namespaces" if len(held) > 5 else ""
    return ok(f"chunks: {shown}{more}")


def refused(
    reason: Reason, error: DependencyError, *, vendor: str, setting: str, what: str
) -> Finding:
    """What to do about a vendor that does not serve us."""
    if error.dependency == "secrets":
        return skip(f"not asked: {vendor}'s key can't be read")
    do = {
        "key": f"{vendor} does not know this key: put a valid one where it is kept",
        "permission": f"give the key the permission for this at {vendor}, or use another one",
        "quota": f"the account's quota is used up: add credit or raise its limit at {vendor}",
        "busy": f"{vendor} asks us to slow down: run this again in a minute",
        "unknown": f"{vendor} has no {what} for this key: correct {setting}",
        "dimension": "set STEADYRAG_EMBEDDING_DIMENSION to a length that the model can give",
    }.get(reason(error) or "")
    said = f"{vendor} {error.problem}"
    if do is None:
        return fail(said, do=lost(error).do)
    return (warn if reason(error) == "busy" else fail)(said, do=do)
