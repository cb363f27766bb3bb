"""steadyrag settings"""

import click

from steadyrag.settings import VARIABLES, allowed, load


@click.command("settings")
def command() -> None:
    """List every setting: its value, what it means, what it takes."""
    from rich.console import Console
    from rich.table import Table

    settings = load()
    table = Table("variable", "value", "meaning", "takes", box=None, pad_edge=False)
    for name, field in VARIABLES.items():
        attribute = next(
            key for key, known in type(settings).model_fields.items() if known.alias == name
        )
        value = getattr(settings, attribute)
        table.add_row(
            name, "" if value is None else str(value), field.description or "", allowed(field)
        )
    Console().print(table)
