"""steadyrag search QUESTION"""

import asyncio
import json

import click


@click.command("search")
@click.argument("question")
@click.option("--top-k", default=5, show_default=True, type=click.IntRange(1, 50))
@click.option("--namespace", default="default", show_default=True)
@click.option("--filter", "filter_json", default="{}", help="Metadata filter, as JSON.")
@click.option("--sources-only", is_flag=True, help="Rank, but write no answer.")
@click.option("--json", "as_json", is_flag=True, help="Print what the API would return.")
def command(
    question: str,
    top_k: int,
    namespace: str,
    filter_json: str,
    sources_only: bool,
    as_json: bool,
) -> None:
    """Ask QUESTION and print the answer with its sources."""
    from steadyrag.api.schemas import SearchRequest, search_body
    from steadyrag.domain.errors import CallerError
    from steadyrag.search import search
    from steadyrag.settings import load
    from steadyrag.wiring.service import build

    try:
        request = SearchRequest(
            query=question,
            top_k=top_k,
            namespace=namespace,
            filter=json.loads(filter_json),
            generate=not sources_only,
        )
        query = request.to_query()
    except (CallerError, ValueError) as error:
        raise click.UsageError(str(error)) from None

    async def ask() -> None:
        service = build(load())
        try:
            answer = await search(query, service)
        finally:
            await service.aclose()
        if as_json:
            click.echo(json.dumps(search_body(answer), ensure_ascii=False, indent=2))
            return
        if answer.answer is not None:
            click.echo(answer.answer + "\n")
        for source in answer.sources:
            click.echo(
                f"[{source.rank}] {source.score:.2f}  {source.title}  ({source.document_id})"
            )
        if answer.degraded:
            click.echo(f"\nmode {answer.mode}; lost: {', '.join(answer.degraded)}", err=True)

    asyncio.run(ask())
