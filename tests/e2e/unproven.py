"""What no test can show outside of AWS, and what stands in for it.

`python -m e2e.unproven` writes the page that deployers read.
"""

from e2e.exercised import Line
from e2e.stack import ROOT

PAGE = ROOT / "docs" / "unproven.md"

UNPROVEN = (
    Line(
        "AWS::CodeDeploy::*",
        "*",
        "the local AWS has no CodeDeploy: aliases move at once",
        "the hook is run against a server that speaks CodeDeploy's wire format; what the groups "
        "are told is read from the template",
    ),
    Line(
        "AWS::IAM::Role",
        "*ReleaseRole",
        "nothing takes it on without CodeDeploy",
        "its statements are compared with what CodeDeploy calls",
    ),
    Line(
        "AWS::CloudWatch::*Alarm",
        "*",
        "the local AWS refuses alarms on metric math and on other alarms, and overlooks the "
        "dimensions of the rest, so none is seen to fire",
        "`make drill` reads them from the template, evaluates them as CloudWatch documents it, and "
        "sees each fire on what the service prints on a bad day; metrics and dimensions are "
        "compared with the catalogue",
    ),
    Line(
        "AWS::XRay::*",
        "*",
        "the local AWS has no X-Ray",
        "read from the template: the stage and the methods of the rules, the rungs of the group",
    ),
    Line(
        "AWS::CloudFormation::Stack",
        "Tracing",
        "nothing is left of it without X-Ray",
        "read from the template",
    ),
    Line(
        "AWS::*",
        "Network/*",
        "deployed with CacheMode=elasticache alone, of which the local AWS lacks the cache, NAT "
        "gateways and flow logs",
        "routes, groups and the cache's settings are read from the template; the cache's client "
        "runs against a Valkey cluster with TLS and IAM tokens",
    ),
    Line(
        "AWS::IAM::ManagedPolicy",
        "*NetworkPolicy",
        "it is deployed, but no function has a network locally",
        "its statements are compared with a list",
    ),
    Line(
        "AWS::IAM::ManagedPolicy",
        "*CachePolicy",
        "deployed with CacheMode=elasticache alone",
        "its statements are compared with a list",
    ),
    Line(
        "AWS::KMS::Key",
        "*",
        "the local AWS encrypts nothing",
        "the key policies are read from the template",
    ),
    Line(
        "AWS::IAM::ManagedPolicy",
        "*DataKeyPolicy",
        "it is deployed and documents flow, but nothing is encrypted locally",
        "its statements are compared with a list",
    ),
    Line(
        "AWS::SNS::*",
        "*",
        "all are made; no mail leaves this machine and no local alarm publishes",
        "the policies are read from the template; `steadyrag doctor` warns while nobody receives",
    ),
    Line(
        "AWS::S3::BucketPolicy",
        "*DocumentsPolicy",
        "it refuses callers without TLS, and the local AWS has none",
        "read from the template",
    ),
    Line(
        "AWS::SQS::QueuePolicy",
        "*DeadQueuePolicy",
        "it refuses callers without TLS, and the local AWS has none",
        "read from the template",
    ),
    Line(
        "AWS::Lambda::LayerVersion",
        "*Arm64*",
        "the machine that tests is an x86_64 one",
        "built by every run and looked at: each library is for arm64, the sources are the same",
    ),
    Line(
        "AWS::Lambda::EventInvokeConfig",
        "*",
        "no scheduled invocation fails locally",
        "read from the template",
    ),
    Line(
        "AWS::AppConfig::DeploymentStrategy",
        "*LiveGradual",
        "it takes ten minutes; tests deploy at once",
        "read from the template",
    ),
    Line(
        "AWS::ApiGateway::Account",
        "*",
        "the local gateway writes no access log",
        "that the account names the role is seen; the log's format is read from the stage",
    ),
    Line(
        "AWS::IAM::Role",
        "*GatewayLogRole",
        "the local gateway writes no access log",
        "read from the template",
    ),
    Line(
        "AWS::Logs::LogGroup",
        "*AccessLogGroup",
        "the local gateway writes no access log",
        "that it is there and how long it keeps is seen",
    ),
)
"""Resources, as in `exercised`."""

BEHAVIOUR = (
    (
        "SnapStart of search",
        "no snapshots locally",
        "a test freezes and thaws the function's process state",
    ),
    (
        "limits, trust and namespaces by API key",
        "the local gateway passes no id of a key on",
        "the functions are called with events as API Gateway documents them; callers without a "
        "key are fenced in the deployed stack",
    ),
    (
        "traces",
        "the local AWS has no X-Ray",
        "a listener receives what the functions would send",
    ),
    (
        "metrics from logs",
        "the local AWS makes none of them",
        "each line is held to the embedded metric format and to the catalogue",
    ),
    (
        "the days of the daily report where they are not those of UTC",
        "the local AWS has periods begin at whole ones; CloudWatch's guide says that they begin "
        "with the span",
        "a server that speaks its protocol does as the guide says; an answer for another span is "
        "an error, and the report is missed",
    ),
    (
        "alarms on metrics of which nothing is heard",
        "the local AWS has no metric math, and CloudWatch's guide doesn't say what FILL makes of a "
        "metric without any data point",
        "each is evaluated, and drilled, in three ways that it may be meant, and says the same",
    ),
    (
        "the dashboard's graphs",
        "the local AWS keeps the dashboard and draws nothing",
        "every metric and expression on it is checked, and worked out over a simulated day",
    ),
    (
        "expiry and point-in-time recovery of tables",
        "the local CloudFormation leaves them out",
        "read from the template; whoever reads an item looks at when it ends",
    ),
    (
        "what AppConfig answers where nothing is deployed",
        "the local one answers with nothing; AWS documents which kinds of things it may call "
        "missing, and not when",
        "a missing deployment and an empty answer leave the settings in force, but take no fence "
        "down that a function knows of; all else is an error, which `steadyrag doctor` tells",
    ),
    (
        "that AppConfig keeps a profile while it has versions",
        "the local one lets it go",
        "`make destroy` deletes them first, and a test sees it",
    ),
    (
        "what outlives a deleted stack",
        "the local CloudFormation keeps nothing of a nested one",
        "read from the template",
    ),
    (
        "IngestConcurrency other than its default",
        "the local CloudFormation leaves a parameter's value a text",
        "the default runs; the parameter's bounds are read from the template",
    ),
    (
        "real vendors",
        "no test leaves this machine",
        "their SDKs talk HTTP to servers that speak the vendors' wire formats; "
        "`steadyrag doctor` and `steadyrag smoke` try the real ones",
    ),
)
"""What is not a resource: what, why, and what stands in."""

_HEAD = """\
# Unproven

`make e2e` deploys the stack into a local AWS and exercises every resource but these. The list
is complete: the same run compares it with the templates. Written by
`PYTHONPATH=tests .venv/bin/python -m e2e.unproven`.
"""


def page() -> str:
    """The page as Markdown."""
    resources = [(_shown(line), line.says, line.instead) for line in UNPROVEN]
    return "\n".join(
        [_HEAD, *_table("resource", resources), "", "Besides:", "", *_table("what", BEHAVIOUR), ""]
    )


def _shown(line: Line) -> str:
    name = line.name.lstrip("*") if line.name != "*Arm64*" else line.name
    return f"`{name}`, `{line.kind}`" if name else f"`{line.kind}`"


def _table(first: str, rows: object) -> list[str]:
    assert isinstance(rows, list | tuple)
    body = ["| " + " | ".join(row) + " |" for row in rows]
    return [f"| {first} | why | what stands in for it |", "|---|---|---|", *body]


if __name__ == "__main__":
    PAGE.write_text(page())
