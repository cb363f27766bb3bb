"""steadyrag ingest s3://…"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from steadyrag.domain.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from steadyrag.bulk import BulkSummary
    from steadyrag.domain.objects import Place
    from steadyrag.wiring.bulk import Bulk

_SHOWN = 50


def run(address: str, *, namespace: str | None, stack: str | None, here: bool, anew: bool) -> None:
    """Brings the index to what lies at `address`, prints what came of it and exits."""
    from steadyrag.settings import load
    from steadyrag.wiring.bulk import build_bulk, stack_settings

    settings = asyncio.run(stack_settings(stack)) if stack else load()
    bulk = build_bulk(settings, address, namespace=namespace, here=here)
    if anew and bulk.queue is not None:
        raise click.UsageError("--rebuild embeds in this process: say --here, too")
    sys.exit(asyncio.run(_ingest(bulk, anew=anew)))


async def _ingest(bulk: Bulk, *, anew: bool) -> int:
    from rich.console import Console

    from steadyrag.bulk import ask_for, bring_up, compare
    from steadyrag.progress import progress

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        with progress("Comparing the bucket with what is known") as advance:
            compared, places = await compare(
                bulk.parts,
                only=bulk.namespace,
                anew=anew,
                progress=lambda done, differ: advance(done, done, f"{differ:,} differ"),
            )
        if not places:
            console.print(f"{compared:,} documents, all of them up to date", markup=False)
            return 0 if compared else _nothing(console, bulk)
        label = "Waiting for the workers" if bulk.queue else "Ingesting"
        with progress(label) as advance:
            if bulk.queue:
                summary = await ask_for(places, bulk.parts, bulk.queue, progress=advance)
            else:
                summary = await bring_up(places, bulk.parts, anew=anew, progress=advance)
    except DependencyError as error:
        console.print(f"[red]stopped:[/] {error}; run it again to go on", markup=True)
        return 1
    finally:
        await bulk.aclose()
    summary.compared = compared
    _print_failures(console, summary)
    _print_summary(summary)
    return 1 if summary.failed or summary.left else 0


def _nothing(console: Console, bulk: Bulk) -> int:
    where = f"s3://{bulk.parts.bucket.name}/{bulk.parts.layout.prefix}"
    console.print(f"nothing lies below {where}; check the bucket and the prefix", markup=False)
    return 1


def _print_failures(console: Console, summary: BulkSummary) -> None:
    _print_some(console, "failed", summary.failed)
    _print_some(console, "not done", summary.left)
    if summary.failed:
        console.print("What failed is as it was before; mend it and put it again.", markup=False)
    if summary.left:
        console.print("Run the same command again to go on.", markup=False)


def _print_some(console: Console, what: str, places: Sequence[tuple[Place, str]]) -> None:
    for place, reason in places[:_SHOWN]:
        name = f"{place.namespace}/{place.document_id}"
        console.print(f"{what}: {name}: {reason}", markup=False, style="red")
    if len(places) > _SHOWN:
        console.print(f"{what}: {len(places) - _SHOWN} more", style="red")


def _print_summary(summary: BulkSummary) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("documents", "", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    up_to_date = summary.compared - summary.indexed - summary.deleted - len(summary.failed)
    rows = [
        ("indexed", summary.indexed),
        ("deleted", summary.deleted),
        ("up to date before", up_to_date - len(summary.left)),
        ("failed", len(summary.failed)),
        ("not done", len(summary.left)),
        ("chunks indexed", summary.chunks),
    ]
    for name, count in rows:
        table.add_row(name, f"{count:,}")
    Console().print(table)
