"""`steadyrag`: the command line. Each command is one file, imported when it is called."""

import sys
from importlib import import_module

import click

from steadyrag import __version__
from steadyrag.domain.errors import ConfigError

_COMMANDS = {
    "serve": "Answer questions over HTTP on this machine.",
    "ingest": "Index documents: Markdown, text, HTML, PDF, DOCX, BEIR folders.",
    "search": "Ask one question from the command line.",
    "eval": "Measure retrieval quality on a BEIR folder.",
    "bench": "Measure latency and ingest time of the embedded default.",
    "calibrate": "Fit the scores' calibration on a BEIR folder.",
    "index": "Create the Pinecone index.",
    "doctor": "Check everything a deployment needs.",
    "smoke": "Ask a running service what a client would.",
    "golden": "Questions that must always find their document.",
    "report": "What happened on one day, beside the days before.",
    "settings": "List every setting with its value.",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"steadyrag.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Steadyrag: RAG search that keeps its promises on a bad day."""


def main() -> None:
    """Entry point: a wrong setting is a message, not a traceback."""
    try:
        cli(prog_name="steadyrag")
    except ConfigError as error:
        click.echo(f"steadyrag: {error}", err=True)
        sys.exit(2)
