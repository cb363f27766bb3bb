"""The deploy guide says what the template says."""

import os
import subprocess

from infra.cloudformation import ROOT, Template

PAGE = (ROOT / "docs" / "deploy.md").read_text()


def test_every_parameter_is_in_the_guide_with_its_default_and_meaning() -> None:
    rows = []
    for name, parameter in Template().parameters.items():
        default = parameter.get("Default")
        shown = "required" if default is None else f"`{default}`" if default != "" else "empty"
        rows.append(f"| `{name}` | {shown} | {parameter['Description']} |")
    assert "\n".join(rows) in PAGE, "the table should be:\n" + "\n".join(rows)


def test_the_outputs_that_the_guide_asks_for_exist() -> None:
    outputs = Template().raw["Outputs"]
    for name in ("ApiUrl", "ApiKeyId", "UsagePlanId"):
        assert name in PAGE
        assert name in outputs


def test_the_secrets_of_the_guide_are_those_that_the_template_reads() -> None:
    for name in ("OpenAiKeyName", "PineconeKeyName"):
        assert f"--name {Template().parameters[name]['Default']} " in PAGE


def test_the_region_that_the_guide_asks_for_is_the_one_that_sam_uses() -> None:
    """`sam` reads AWS_DEFAULT_REGION, the AWS command line prefers AWS_REGION."""
    assert "`AWS_REGION` is set" in PAGE
    said = subprocess.run(
        ["make", "-s", "--eval=region: ; @echo $$AWS_DEFAULT_REGION", "region"],
        env={"PATH": os.environ["PATH"], "AWS_REGION": "ap-northeast-2"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "ap-northeast-2"
