"""steadyrag index create"""

import asyncio
import sys

import click


@click.group("index")
def index() -> None:
    """Create the Pinecone index."""


@index.command("create")
@click.option("--name", default="steadyrag", show_default=True, help="Name of the index.")
@click.option("--cloud", default="aws", show_default=True, help="Pinecone's cloud.")
@click.option("--region", default="us-east-1", show_default=True, help="Region in that cloud.")
def create(name: str, cloud: str, region: str) -> None:
    """Create the index with the schema that searches need, or check the one that is there.

    Exits with 1 when an index of that name exists and does not fit, saying what differs.
    """
    from steadyrag.domain.errors import ConfigError, DependencyError
    from steadyrag.settings import load
    from steadyrag.wiring import ingest as wiring

    settings = load()
    try:
        ready = asyncio.run(
            wiring.ensure_index(
                settings,
                name=name,
                cloud=cloud,
                region=region,
                report=lambda state: click.echo(f"index {name}: {state}", err=True),
            )
        )
    except (ConfigError, DependencyError) as error:
        click.echo(f"steadyrag: {error}", err=True)
        sys.exit(1)
    done = "created" if ready.created else "exists and fits"
    click.echo(f"Index {ready.name!r} {done}.")
    click.echo(f"STEADYRAG_PINECONE_INDEX_HOST={ready.host}")


command = index
