"""Deletes a stack with `sam delete`, and says what stays; with --data, the documents go too.

`sam`'s own environment runs this, so it uses boto3 and the standard library alone.
"""

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from deployed import ROOT, Environment, Refused, environment
from kept import Documents, find, remove
from live import clear
from serving import reached, starts, stop

SAM = Path(sys.executable).parent / "sam"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment", help="as samconfig.toml names it: dev or prod")
    parser.add_argument("--yes", action="store_true", help="ask nothing")
    parser.add_argument("--data", action="store_true", help="remove the documents, too")
    parser.add_argument("--config", type=Path, default=ROOT / "samconfig.toml")
    parser.add_argument("--sam", type=Path, default=SAM, help="the program")
    chosen = parser.parse_args()
    try:
        destroy(
            environment(chosen.environment, chosen.config),
            sam=chosen.sam,
            data=chosen.data,
            asks=not chosen.yes,
        )
    except (Refused, BotoCoreError, ClientError, WaiterError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")


def destroy(chosen: Environment, *, sam: Path, data: bool, asks: bool) -> None:
    """Both questions come first: deleting a stack can take half an hour."""
    described = chosen.described()
    if described and described.get("EnableTerminationProtection"):
        raise Refused(
            f"stack {chosen.stack} is protected, so nothing was done; to let it go:\n"
            f"      aws cloudformation update-termination-protection --region {chosen.region}"
            f" --stack-name {chosen.stack} --no-enable-termination-protection"
        )
    given = (described or {}).get("Parameters", [])
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in given}
    left = find(chosen, parameters)
    where = f"{chosen.region} of account {left.documents.account}"
    if described and asks:
        confirm(f"Delete stack {chosen.stack} in {where}?", chosen.stack)
    documents = left.documents if data else Documents("", "", "")
    if documents and asks:
        confirm(
            f"Remove {documents} with all versions, for good?", documents.bucket or chosen.stack
        )
    if described:
        take_down(chosen, sam, parameters)
    else:
        print(f"There is no stack {chosen.stack} in {where}.")
    remove(chosen, documents, print)
    if left.documents and not data:
        print(
            f"\nThe documents stay, in {left.documents}. A new stack of this name goes on with"
            f" them when it is\ntold AdoptDocuments=true. What removes them, every version:"
            f"\n      make destroy ENV={chosen.name} DATA=1"
        )
    if left.others:
        print("\nWhat else stays, and what removes it:", *left.others, sep="\n")


def confirm(question: str, expected: str) -> None:
    """Raises `Refused` unless the name itself is the answer."""
    try:
        answer = input(f"{question} Type {expected} to go on: ")
    except EOFError:
        raise Refused("nobody answered, so nothing was done; YES=1 asks nothing") from None
    if answer.strip() != expected:
        raise Refused("that is another name, so nothing was done")


def take_down(chosen: Environment, sam: Path, parameters: dict[str, str]) -> None:
    """Nobody is let in any more before the fences go, however long the rest takes."""
    say = partial(print, flush=True)  # before `sam` prints
    functions = reached(chosen)
    how = "some of its functions may be stopped.\nRun this again. Or, to keep it, let callers in:"
    try:
        stop(chosen, functions, say)
        how = (
            "its functions are stopped, and its live configuration is gone, at least in part.\n"
            "Run this again. Or, to keep it, deploy the live configuration anew"
            " (docs/operations.md), and only\nthen let callers in:"
        )
        clear(chosen, say)
        delete_stack(chosen, sam)
    except BaseException:
        if functions:
            print(
                f"\nStack {chosen.stack} is still there, but {how}",
                *(f"      {command}" for command in starts(chosen, functions, parameters)),
                sep="\n",
                file=sys.stderr,
            )
        raise


def delete_stack(chosen: Environment, sam: Path) -> None:
    profile = chosen.session.profile_name
    done = subprocess.run(  # noqa: S603
        [
            *(str(sam), "delete", "--no-prompts", "--stack-name", chosen.stack),
            *("--region", chosen.region),
            *(("--profile", profile) if profile != "default" else ()),
        ],
        cwd=ROOT,
        check=False,
    )
    if done.returncode or chosen.described():
        raise Refused(f"stack {chosen.stack} is not gone; the message of `sam delete` is above")


if __name__ == "__main__":
    main()
