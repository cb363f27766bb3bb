"""The doctor's checks, for the settings of this environment or for a deployed stack."""

from __future__ import annotations

import asyncio
import time
import warnings
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from steadyrag.doctor import deployed, storage, vendors
from steadyrag.doctor.checking import Check, Finding, fail, ok, skip, warn
from steadyrag.domain.errors import ConfigError, DependencyError
from steadyrag.settings import load
from steadyrag.wiring import parts
from steadyrag.wiring.stores import cache_credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from steadyrag.domain.account import Account, Function, Stack
    from steadyrag.settings import Settings

OPENAI_URL: Final = "https://api.openai.com"


@asynccontextmanager
async def here(
    environment: Mapping[str, str] | None = None, *, clock: Callable[[], float] = time.time
) -> AsyncIterator[Sequence[Check]]:
    """Checks of what the settings of this environment name. They are good inside the block."""
    settings, checks = _settings_of(environment)
    if settings is None:
        yield checks
        return
    async with AsyncExitStack() as opened:
        account = _account(opened, clock)
        parts.preload(settings)
        checks += [_clock(settings, account, clock)]
        checks += _vendors(settings, opened)
        if settings.cache_url:
            from steadyrag.adapters.valkey_look import describe

            signed_in = cache_credentials(settings, clock=clock)
            checks.append(
                storage.cache(partial(describe, settings.cache_url, credentials=signed_in))
            )
        if _uses_aws(settings):
            checks += [
                deployed.credentials(account),
                *_storage(settings, account, ingest_timeout_s=None),
                deployed.concurrency(account),
                deployed.gateway_logs(account),
            ]
        yield checks


@asynccontextmanager
async def of_stack(
    name: str, *, clock: Callable[[], float] = time.time
) -> AsyncIterator[Sequence[Check]]:
    """Checks of what a stack deployed, by the environment that its functions have. Asks AWS
    for that first, as whoever the shell's credentials are."""
    async with AsyncExitStack() as opened:
        account = _account(opened, clock)
        checks = [deployed.credentials(account), deployed.clock("AWS", account.now, clock)]
        try:
            stack = await account.stack(name)
            functions = {} if stack is None else await _functions(stack, account)
        except DependencyError as error:
            do = "let these credentials read CloudFormation stacks and Lambda functions"
            yield [*checks, _said("stack", fail(f"can't be read: {error}", do=do))]
            return
        if stack is None:
            do = "name one that `make deploy` made, such as steadyrag-dev, in AWS_DEFAULT_REGION"
            yield [*checks, _said("stack", fail(f"there is no stack called {name}", do=do))]
            return
        merged = {k: v for f in functions.values() for k, v in f.environment.items()}
        settings, found = _settings_of(merged)
        checks += [deployed.stack_state(name, stack), *found]
        if settings is not None:
            parts.preload(settings)
            ingest = functions.get("IngestFunction")
            timeout_s = ingest.timeout_s if ingest else None
            checks += _vendors(settings, opened)
            checks += _storage(settings, account, ingest_timeout_s=timeout_s)
        yield [*checks, *_deployed(stack, functions, settings, account)]


def _settings_of(environment: Mapping[str, str] | None) -> tuple[Settings | None, list[Check]]:
    """The settings, unless they don't go together, and what is to be said of them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            settings = load(environment)
        except ConfigError as error:
            do = "`steadyrag settings` lists what each takes"
            return None, [_said("settings", *(fail(p, do=do) for p in str(error).splitlines()))]
    findings = [warn(str(w.message), do="unset it, or correct its name") for w in caught]
    chosen = (settings.embedder, settings.index, settings.reranker, settings.generator)
    if "local" not in chosen and not (settings.table_prefix or settings.cache_url):
        findings.append(
            warn(
                "no store is shared: answers, circuit breakers and rate limits are each process's",
                do="set STEADYRAG_TABLE_PREFIX to the stack's output TablePrefix",
            )
        )
    embedder, index, reranker, generator = chosen
    said = f"embedder {embedder}, index {index}, reranker {reranker}, generator {generator}"
    return settings, [_said("settings", *(findings or [ok(said)]))]


def _vendors(settings: Settings, opened: AsyncExitStack) -> list[Check]:
    from steadyrag.adapters.vendor_reason import reason

    checks = _keys(settings)
    embedder = parts.embedder(settings)
    opened.push_async_callback(embedder.aclose)
    checks.append(
        vendors.embedding(
            embedder, reason, model=settings.embedding_model, dimension=embedder.dimension
        )
    )
    try:
        index = parts.index(settings, embedder)
        opened.push_async_callback(index.aclose)
        reranker = parts.reranker(settings, index)
    except ConfigError as error:
        return [*checks, _said("index", fail(str(error), do="change the setting that it names"))]
    if settings.index == "pinecone":
        from steadyrag.adapters.pinecone_look import PineconeLook

        host = settings.pinecone_index_host or ""
        look = PineconeLook(
            api_key=parts.pinecone_key(settings),
            host=host,
            controller_host=settings.pinecone_controller_host,
            dimension=embedder.dimension,
        )
        opened.push_async_callback(look.aclose)
        checks += vendors.hosted_index(look, reason, host=host)
    else:
        checks.append(vendors.local_index(index))
    if reranker and settings.reranker == "pinecone":
        opened.push_async_callback(reranker.aclose)
        checks.append(vendors.reranker(reranker, reason, model=settings.rerank_model))
        checks.append(vendors.calibration(settings.rerank_calibration, model=settings.rerank_model))
    for name, setting, model in (
        ("chat model", "STEADYRAG_CHAT_MODEL", settings.chat_model),
        ("chat fallback", "STEADYRAG_CHAT_FALLBACK_MODEL", settings.chat_fallback_model),
    ):
        generator = parts.generator(settings, model) if model else None
        if generator is not None:
            opened.push_async_callback(generator.aclose)
            checks.append(vendors.chat(name, generator, reason, setting=setting))
    if asked := _priced(settings):
        checks.append(vendors.prices(asked))
    return checks


def _priced(settings: Settings) -> list[str]:
    """The models that a vendor is paid for."""
    embedding = [settings.embedding_model] if settings.embedder == "openai" else []
    chat = [settings.chat_model, settings.chat_fallback_model]
    return embedding + [m for m in chat if m and settings.generator == "openai"]


def _keys(settings: Settings) -> list[Check]:
    from steadyrag.adapters.vendor_http import current

    checks = []
    if "openai" in (settings.embedder, settings.generator):
        held_in = settings.openai_api_key_from or "OPENAI_API_KEY"
        read = partial(current, parts.openai_key(settings))
        checks.append(vendors.key("openai", read, held_in=held_in))
    if "pinecone" in (settings.index, settings.reranker):
        held_in = settings.pinecone_api_key_from or "PINECONE_API_KEY"
        read = partial(current, parts.pinecone_key(settings))
        checks.append(vendors.key("pinecone", read, held_in=held_in))
    return checks


def _storage(settings: Settings, account: Account, *, ingest_timeout_s: int | None) -> list[Check]:
    checks: list[Check] = []
    if (prefix := settings.table_prefix) and not settings.local_dynamodb_url:
        checks.append(
            storage.table(account, f"{prefix}cache", keys=storage.CACHE_KEYS, precious=False)
        )
        if settings.documents_bucket:
            checks.append(
                storage.table(
                    account, f"{prefix}documents", keys=storage.DOCUMENTS_KEYS, precious=True
                )
            )
    queue_url, dead_url = settings.ingest_queue_url, settings.dead_queue_url
    if settings.documents_bucket:
        checks.append(storage.bucket(account, settings.documents_bucket, queue_url=queue_url))
    if queue_url:
        checks.append(
            storage.ingest_queue(
                account, queue_url, dead_url=dead_url, function_timeout_s=ingest_timeout_s
            )
        )
    if dead_url:
        checks.append(storage.dead_letters(account, dead_url))
    if settings.live_config:
        read = partial(_live_config, settings.live_config)
        checks.append(deployed.live_configuration(settings.live_config, read))
    return checks


def _deployed(
    stack: Stack, functions: Mapping[str, Function], settings: Settings | None, account: Account
) -> list[Check]:
    checks: list[Check] = []
    logical_ids = {resource.logical_id for resource in stack.resources}
    for resource in stack.of_kind("AWS::Lambda::Function"):
        # SAM's name of what AutoPublishAlias makes.
        aliased = f"{resource.logical_id}Alias{deployed.LIVE}" in logical_ids
        if aliased or resource.logical_id == "SearchFunction":
            checks.append(deployed.alias(account, resource.physical_id))
    search, name = functions.get("SearchFunction"), stack.named("SearchFunction")
    if search is None or name is None:
        do = "this is not one of Steadyrag's stacks; name the one that `make deploy` made"
        checks.append(_said("search function", fail("the stack has none", do=do)))
    elif settings is not None:
        checks.append(
            deployed.timeout(name, timeout_s=search.timeout_s, deadline_s=settings.deadline_s)
        )
        if settings.cache_url:
            checks.append(storage.cache_in_vpc(function_in_vpc=search.in_vpc))
    topics = [resource.physical_id for resource in stack.of_kind("AWS::SNS::Topic")]
    return [
        *checks,
        deployed.concurrency(account),
        deployed.gateway_logs(account),
        *deployed.receivers(account, topics),
    ]


async def _functions(stack: Stack, account: Account) -> dict[str, Function]:
    """By logical id, as the alias has them where there is one; the search function last, so
    that it wins where environments are put together."""

    async def one(name: str) -> Function | None:
        return await account.function(name, deployed.LIVE) or await account.function(name)

    resources = stack.of_kind("AWS::Lambda::Function")
    resources.sort(key=lambda resource: resource.logical_id == "SearchFunction")
    found = await asyncio.gather(*(one(resource.physical_id) for resource in resources))
    return {r.logical_id: f for r, f in zip(resources, found, strict=True) if f is not None}


async def _live_config(profile: str) -> str:
    from steadyrag.adapters.appconfig import AppConfigSource
    from steadyrag.domain.live_config import LiveConfig, parse_live_config

    polled = await AppConfigSource(profile).poll()
    document = polled.document or b""
    if not polled.deployed or parse_live_config(document) == LiveConfig():
        return f"{profile}: nothing is in it, so the settings hold"
    return f"{profile}: {len(document):,} bytes"


def _account(opened: AsyncExitStack, clock: Callable[[], float]) -> Account:
    from steadyrag.adapters.aws_account import AwsAccount

    account = AwsAccount(clock=clock)
    opened.push_async_callback(account.aclose)
    return account


def _uses_aws(settings: Settings) -> bool:
    return bool(
        settings.openai_api_key_from
        or settings.pinecone_api_key_from
        or (settings.table_prefix and not settings.local_dynamodb_url)
        or settings.cache_user
        or settings.documents_bucket
        or settings.live_config
    )


def _clock(settings: Settings, account: Account, clock: Callable[[], float]) -> Check:
    if _uses_aws(settings):
        return deployed.clock("AWS", account.now, clock)
    if "openai" not in (settings.embedder, settings.generator):
        return _said("clock", skip("nothing outside of this machine is used"))
    from steadyrag.adapters.http_exchange import server_time

    asking = partial(server_time, settings.openai_base_url or OPENAI_URL, timeout_s=5.0)
    return deployed.clock("OpenAI", asking, clock)


def _said(name: str, *findings: Finding) -> Check:
    """A check whose result is known already."""

    async def look() -> Sequence[Finding]:
        return findings

    return Check(name, look)
