"""The operators' pages say what the templates and the programs say."""

import os
import re
import subprocess

import pytest

from infra.cloudformation import ROOT, Template
from infra.pages import PAGES, RUN, blocks, calls, make_targets, own_problem, page, problem
from infra.stack import template, transformed

DEPLOY = page("deploy.md")


@pytest.mark.parametrize("name", PAGES)
def test_every_block_of_commands_is_run_by_a_test_or_marked_as_needing_aws(name: str) -> None:
    neither = [b.text for b in blocks(name) if not b.needs_aws and name not in RUN]
    assert not neither, f"put <!-- needs AWS --> above it, or the page into RUN: {neither}"
    assert page(name).count("```console") == len(blocks(name))


@pytest.mark.parametrize("name", PAGES)
def test_every_block_is_a_script_that_a_shell_can_read(name: str) -> None:
    for block in blocks(name):
        read = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
        assert read.stderr == "", block.text


@pytest.mark.parametrize("name", PAGES)
def test_every_aws_command_exists_and_takes_these_options(name: str) -> None:
    found = [call for block in blocks(name) for call in calls(block.text, "aws")]
    assert len(found) == len(
        re.findall(r"\baws (?=[a-z0-9]+ [a-z])", "".join(b.text for b in blocks(name)))
    )
    for words, options in found:
        assert problem(words, options) is None, f"aws {' '.join(words)}: {problem(words, options)}"


@pytest.mark.parametrize(
    ("words", "options", "wrong"),
    [
        (["sqs", "send-mesage"], set(), "no such command"),
        (["sqs", "send-message"], {"queue-url", "message-body", "body"}, "no options {'body'}"),
        (["sqs", "send-message"], {"queue-url"}, "lacks {'message-body'}"),
        (["dynamodb", "wait", "table-is-there"], {"table-name"}, "no such command"),
        (["s3", "cp"], {"meta"}, "no options {'meta'}"),
        (["lambda", "update-event-source-mapping"], {"uuid", "no-enabled"}, None),
    ],
)
def test_a_command_that_aws_would_refuse_is_seen(
    words: list[str], options: set[str], wrong: str | None
) -> None:
    assert problem(words, options) == wrong


@pytest.mark.parametrize("name", PAGES)
def test_our_own_commands_exist_and_take_these_options(name: str) -> None:
    for block in blocks(name):
        for words, options in calls(block.text, ".venv/bin/steadyrag"):
            assert own_problem(words, options) is None, f"{words} {options}"
        for words, _ in calls(block.text, "make"):
            asked = [word for word in words if "=" not in word and not word.startswith(("-", ".."))]
            assert set(asked) <= make_targets()


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_asks_the_stack_for_is_one_of_its_outputs(name: str) -> None:
    asked = set(re.findall(r"\$\(stack ([A-Za-z]+)\)", page(name)))
    assert asked
    assert asked <= Template().raw["Outputs"].keys()


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_calls_after_the_stack_is_called_so(name: str) -> None:
    asked = set(re.findall(r"\$STACK-([a-z-]*[a-z])", page(name)))
    root = template(CacheMode="elasticache")
    named = {
        str(properties.get(key)).removeprefix("stack-")
        for _, part in root.every()
        for kind, key in (("CloudWatch::Alarm", "AlarmName"), ("DynamoDB::Table", "TableName"))
        for _, properties in part.of_type(f"AWS::{kind}")
    }
    assert asked <= named


def test_how_long_things_are_kept_is_as_the_template_says() -> None:
    queues = dict(template().nested("Data").of_type("AWS::SQS::Queue"))
    kept = {name: queue["MessageRetentionPeriod"] for name, queue in queues.items()}
    assert kept == {"IngestQueue": 4 * 86_400, "DeadQueue": 14 * 86_400}
    assert "Messages wait for four days" in page("operations.md")
    assert "dead-letter queue for 14 days" in page("operations.md")


def test_the_rights_to_deploy_cover_every_service_that_the_stack_makes_something_in() -> None:
    parts = [transformed(), *(part for _, part in template(CacheMode="elasticache").every())]
    types = {resource["Type"] for part in parts for _, resource in part.resources()}
    services = {kind.split("::")[1].lower() for kind in types} - {"serverless"}
    [rights] = re.findall(r"\*\*Rights\.\*\*.*?\n\n", DEPLOY, re.S)
    assert services <= set(re.findall(r"`([a-z0-9]+)`", rights))


def test_the_secrets_of_the_guide_are_those_that_the_template_reads() -> None:
    for name in ("OpenAiKeyName", "PineconeKeyName"):
        assert f"--name {Template().parameters[name]['Default']} " in DEPLOY


def test_the_region_that_the_guide_asks_for_is_the_one_that_sam_uses() -> None:
    """`sam` reads AWS_DEFAULT_REGION, the AWS command line prefers AWS_REGION."""
    assert "`AWS_REGION` is set" in DEPLOY
    said = subprocess.run(
        ["make", "-s", "--eval=region: ; @echo $$AWS_DEFAULT_REGION", "region"],
        env={"PATH": os.environ["PATH"], "AWS_REGION": "ap-northeast-2"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "ap-northeast-2"
