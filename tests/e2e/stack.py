"""Builds, adapts and deploys the project's template into the local AWS."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from e2e import gateway
from e2e.processes import run

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
STACK = "steadyrag-e2e"
BUCKET = "steadyrag-e2e-artifacts"

# The local AWS knows this pair as the account's root.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@dataclass(frozen=True, slots=True)
class Cloud:
    """The local AWS: where it listens and where its files are kept. `told` is what its
    functions find in their environment besides."""

    port: int
    work: Path
    told: Mapping[str, str] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """What a client of it needs, and of this machine nothing but what finds programs."""
        return {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **CREDENTIALS,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
            "TMPDIR": str(self.work / "tmp"),
        }

    def server_environment(self) -> dict[str, str]:
        """What the local AWS itself runs with, and so its functions. `AUTH` makes it check
        every call against the policies of the role that calls."""
        return {
            **self.environment(),
            **self.told,
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_HOST": "localhost",
            "MINISTACK_REGION": REGION,
            "IOT_MTLS_ENABLED": "0",
        }

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}, read_timeout=60),
        )


@dataclass(frozen=True, slots=True)
class Deployed:
    """A stack that stands: where it answers, and what it made."""

    url: str
    api_key: str
    outputs: Mapping[str, str]


def build(sam: Path, log: Path) -> Path:
    """`sam build` as people type it; returns the build's folder. It is the one step that may
    use the network, for wheels that uv doesn't have yet, so it keeps this process's settings."""
    env = {**os.environ, **CREDENTIALS, "AWS_DEFAULT_REGION": REGION, "SAM_CLI_TELEMETRY": "0"}
    run([str(sam), "build"], env=env, log=log, cwd=ROOT, timeout_s=300)
    return ROOT / ".aws-sam" / "build"


def deploy(cloud: Cloud, sam: Path, template: Path, parameters: Mapping[str, str]) -> None:
    """`sam deploy` of the adapted template."""
    template = _nested_uploaded(cloud, template)
    settings = cloud.work / "samconfig.toml"
    settings.write_text("version = 0.1\n")
    command = [
        *(str(sam), "deploy", "--template-file", str(template), "--config-file", str(settings)),
        *("--stack-name", STACK, "--s3-bucket", BUCKET, "--region", REGION),
        *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
        *("--no-confirm-changeset", "--no-progressbar"),
        *("--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items())),
    ]
    run(command, env=cloud.environment(), log=cloud.work / "sam.log", cwd=ROOT, timeout_s=180)


def _nested_uploaded(cloud: Cloud, template: Path) -> Path:
    """Uploads the nested templates, which `sam deploy` would do itself: to an address of the
    local AWS, though, that `sam delete` doesn't take for one of S3."""
    written = json.loads(template.read_text())
    for resource in written["Resources"].values():
        if resource["Type"] == "AWS::CloudFormation::Stack":
            body = (template.parent / resource["Properties"]["TemplateURL"]).read_bytes()
            key = f"{hashlib.sha256(body).hexdigest()[:32]}.template"
            cloud.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body)
            address = f"https://s3.{REGION}.amazonaws.com/{BUCKET}/{key}"
            resource["Properties"]["TemplateURL"] = address
    uploaded = template.with_name("uploaded.json")
    uploaded.write_text(json.dumps(written))
    return uploaded


def delete(cloud: Cloud, sam: Path) -> None:
    """`sam delete` of the stack and of what was uploaded for it."""
    settings = cloud.work / "samconfig.toml"
    command = [
        *(str(sam), "delete", "--no-prompts", "--config-file", str(settings)),
        *("--stack-name", STACK, "--s3-bucket", BUCKET, "--region", REGION),
    ]
    run(command, env=cloud.environment(), log=cloud.work / "sam.log", cwd=ROOT, timeout_s=120)


def complete(cloud: Cloud) -> Deployed:
    """Adds what the local CloudFormation leaves out, and reads what came of it."""
    formation, api = cloud.client("cloudformation"), cloud.client("apigateway")
    stack = formation.describe_stacks(StackName=STACK)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    found = re.match(r"https://([a-z0-9]+)\.execute-api\.[^/]+/(\w+)", outputs["ApiUrl"])
    if not found:
        raise ValueError(f"the stack's ApiUrl is {outputs['ApiUrl']}")
    api_id, stage = found.groups()
    gateway.complete(api, api_id, stage, _openapi(formation, stack))
    key = api.get_api_key(apiKey=outputs["ApiKeyId"], includeValue=True)["value"]
    return Deployed(f"{cloud.endpoint}/_aws/execute-api/{api_id}/{stage}", key, outputs)


def _openapi(formation: Any, stack: Mapping[str, Any]) -> Any:
    """The OpenAPI body that SAM wrote, with the stack's parameters in it."""
    body = formation.get_template(StackName=STACK, TemplateStage="Processed")["TemplateBody"]
    template = json.loads(body) if isinstance(body, str) else body
    apis = [r for r in template["Resources"].values() if r["Type"] == "AWS::ApiGateway::RestApi"]
    values = {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]}
    return gateway.resolve(apis[0]["Properties"]["Body"], values)
