"""Says what to do with a stack that has just been deployed, from its outputs.

`sam`'s own environment runs this, so it uses boto3 and the standard library alone.
"""

import argparse
import shlex
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

ROOT = Path(__file__).resolve().parents[1]


class Refused(Exception):
    """There is nothing that can be done; the message says what would help."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A stack as samconfig.toml names it, what is there of its parameters, and the session that
    `sam` would use for it."""

    name: str
    stack: str
    parameters: dict[str, str]
    session: Any

    @property
    def region(self) -> str:
        return str(self.session.region_name)

    def client(self, service: str) -> Any:
        return self.session.client(service)

    def described(self) -> dict[str, Any] | None:
        """The stack, or nothing where there is none."""
        try:
            found = self.client("cloudformation").describe_stacks(StackName=self.stack)
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return None
            raise
        stack: dict[str, Any] = found["Stacks"][0]
        return stack


def environment(name: str, config: Path) -> Environment:
    """Raises `Refused` where samconfig.toml has no such environment, or nothing says where."""
    try:
        given = tomllib.loads(config.read_text())[name]["deploy"]["parameters"]
        stack = given["stack_name"]
    except KeyError as missing:
        raise Refused(f"{config.name} has no [{name}.deploy.parameters] with a stack_name") from (
            missing
        )
    session = boto3.session.Session(
        region_name=given.get("region"), profile_name=given.get("profile")
    )
    if not session.region_name:
        raise Refused("which region? Set AWS_REGION")
    overrides = given.get("parameter_overrides", [])
    listed = shlex.split(overrides) if isinstance(overrides, str) else overrides
    parameters = dict(one.split("=", 1) for one in listed)
    return Environment(name, stack, parameters, session)


def next_steps(chosen: Environment) -> str:
    """The commands that try the stack, as they are typed."""
    described = chosen.described()
    if described is None:
        raise Refused(f"there is no stack {chosen.stack} in {chosen.region}")
    outputs = {one["OutputKey"]: one["OutputValue"] for one in described["Outputs"]}
    key = (
        f"aws apigateway get-api-key --region {chosen.region} --api-key {outputs['ApiKeyId']}"
        " --include-value --query value --output text"
    )
    return f"""
{chosen.stack} is at {outputs["ApiUrl"]}

Check what it needs:
    AWS_DEFAULT_REGION={chosen.region} .venv/bin/steadyrag doctor --stack {chosen.stack}
Ask it something, with its first key:
    export STEADYRAG_API_KEY=$({key})
    .venv/bin/steadyrag smoke {outputs["ApiUrl"]}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment", help="as samconfig.toml names it: dev or prod")
    parser.add_argument("--config", type=Path, default=ROOT / "samconfig.toml")
    chosen = parser.parse_args()
    try:
        print(next_steps(environment(chosen.environment, chosen.config)))
    except (Refused, BotoCoreError, ClientError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")


if __name__ == "__main__":
    main()
