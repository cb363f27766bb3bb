"""The template as CloudFormation gets it: SAM's own transform, without AWS.

SAM wants another pydantic than the service, so it runs where the local AWS does, and this file
is also the program that runs there: a template as JSON on standard input, with the values of
its parameters, and the same transformed on standard output.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-cloud" / "bin" / "python"


def transform(template: dict[str, Any], parameters: dict[str, str]) -> dict[str, Any]:
    """Raises `CalledProcessError` where SAM refuses the template."""
    done = subprocess.run(
        [PYTHON, __file__],
        input=json.dumps([template, parameters]),
        env={**os.environ, "AWS_DEFAULT_REGION": "eu-west-1"},
        capture_output=True,
        text=True,
        check=True,
    )
    transformed: dict[str, Any] = json.loads(done.stdout)
    return transformed


def _main() -> None:
    from samtranslator.parser.parser import Parser  # type: ignore[import-not-found]
    from samtranslator.translator.translator import Translator  # type: ignore[import-not-found]

    template, parameters = json.load(sys.stdin)
    # `sam package` puts addresses in S3 where the template has folders.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/function"
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = "s3://bucket/layer"
    json.dump(Translator({}, Parser()).translate(template, parameters), sys.stdout)


if __name__ == "__main__":
    _main()
