"""Reading alarms out of templates."""

from textwrap import dedent

import pytest

from infra.cloudformation import ROOT
from steadyrag.monitoring.alarms import CompositeAlarm, MetricAlarm, Watch
from steadyrag.monitoring.cloudformation import UnreadableTemplate
from steadyrag.monitoring.series import Series
from steadyrag.monitoring.template import read_alarms

NESTED = """
    Parameters:
      Prefix: { Type: String }
      TopicArn: { Type: String }
      FunctionName: { Type: String }
      Most: { Type: Number }
      Loud: { Type: String, Default: "true" }
    Conditions:
      IsLoud: !Equals [!Ref Loud, "true"]
      IsQuiet: !Not [!Condition IsLoud]
    Resources:
      Failing:
        Type: AWS::CloudWatch::Alarm
        Properties:
          AlarmName: !Sub ${Prefix}-failing
          AlarmDescription: !Sub "More than ${Most}. Runbook: ${!Base}failing.md"
          Namespace: AWS/Lambda
          MetricName: Errors
          Dimensions: [{ Name: Resource, Value: !Join [":", [!Ref FunctionName, live]] }]
          Statistic: Sum
          Period: 60
          EvaluationPeriods: 3
          Threshold: !Ref Most
          ComparisonOperator: GreaterThanThreshold
          AlarmActions: !If [IsLoud, [!Ref TopicArn], []]
      Never:
        Type: AWS::CloudWatch::Alarm
        Condition: IsQuiet
        Properties: { AlarmName: this can't be judged }
      Down:
        Type: AWS::CloudWatch::CompositeAlarm
        Properties:
          AlarmName: !Sub ${Prefix}-down
          AlarmRule: !Sub ALARM("${Failing}")
"""
ROOT_TEMPLATE = """
    Parameters:
      Most: { Type: Number, Default: 5 }
      Host: { Type: String }
    Resources:
      Topics:
        Type: AWS::CloudFormation::Stack
        Properties:
          TemplateURL: topics.yaml
          Parameters: { Prefix: !Ref AWS::StackName }
      Function:
        Type: AWS::Serverless::Function
        Properties: { FunctionName: !Sub "${AWS::StackName}-search" }
      Alarms:
        Type: AWS::CloudFormation::Stack
        Properties:
          TemplateURL: nested/template.yaml
          Parameters:
            Prefix: !Ref AWS::StackName
            TopicArn: !GetAtt Topics.Outputs.Arn
            FunctionName: !Ref Function
            Most: !Ref Most
"""
TOPICS = """
    Parameters:
      Prefix: { Type: String }
    Resources:
      Page:
        Type: AWS::SNS::Topic
        Properties: { TopicName: !Sub "${Prefix}-page" }
    Outputs:
      Arn: { Value: !Ref Page }
"""


@pytest.fixture
def template(tmp_path):
    (tmp_path / "nested").mkdir()
    (tmp_path / "nested" / "template.yaml").write_text(dedent(NESTED))
    (tmp_path / "topics.yaml").write_text(dedent(TOPICS))
    path = tmp_path / "template.yaml"
    path.write_text(dedent(ROOT_TEMPLATE))
    return path


def test_parameters_are_resolved_through_nested_stacks(template):
    failing, down = read_alarms(template, Most=7, Prefix="mine")
    assert isinstance(failing, MetricAlarm)
    assert (failing.name, failing.full_name) == ("failing", "mine-failing")
    assert failing.description == "More than 7. Runbook: ${Base}failing.md"
    assert failing.threshold == 7
    assert failing.compared.dimensions == {"Resource": "mine-search:live"}
    assert failing.actions == ("mine-page",)
    assert (failing.evaluation_periods, failing.datapoints_to_alarm) == (3, 3)
    assert (failing.missing, failing.comparison) == ("missing", "GreaterThanThreshold")
    assert isinstance(down, CompositeAlarm)
    assert down.asks == {"mine-failing"}


def test_what_is_not_said_has_its_default(template):
    failing, _ = read_alarms(template)
    assert (failing.full_name, failing.threshold) == ("steadyrag-failing", 5)


def test_a_nested_template_can_be_read_alone(template):
    failing, _ = read_alarms(template.parent / "nested" / "template.yaml", Most=3)
    assert (failing.full_name, failing.actions) == ("steadyrag-failing", ("TopicArn",))


def test_what_its_condition_rules_out_is_not_looked_at(template):
    nested = template.parent / "nested" / "template.yaml"
    with pytest.raises(UnreadableTemplate, match="Never"):
        read_alarms(nested, Most=3, Loud="false")


def test_metrics_of_an_expression_are_read(tmp_path):
    path = tmp_path / "template.yaml"
    path.write_text(
        dedent("""
        Resources:
          Share:
            Type: AWS::CloudWatch::Alarm
            Properties:
              AlarmName: steadyrag-share
              Metrics:
                - { Id: percent, Expression: "100 * FILL(a, 0)" }
                - Id: a
                  ReturnData: false
                  MetricStat:
                    Metric: { Namespace: Steadyrag, MetricName: Latency }
                    Stat: p99
                    Period: 300
              EvaluationPeriods: 3
              DatapointsToAlarm: 2
              Threshold: 1.5
              ComparisonOperator: LessThanThreshold
              TreatMissingData: ignore
        """)
    )
    (share,) = read_alarms(path)
    percent, a = share.metrics
    assert (percent.expression, percent.returns) == ("100 * FILL(a, 0)", True)
    assert (a.namespace, a.name, a.stat, a.period_s, a.returns) == (
        *("Steadyrag", "Latency", "p99", 300),
        False,
    )
    assert (share.period_s, share.missing) == (300, "ignore")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("Statistic: Sum", "Statistic: IQM", "IQM is not known"),
        ("Threshold: !Ref Most", "ThresholdMetricId: band", "ThresholdMetricId can't"),
        ("Threshold: !Ref Most", "Threshold: !ImportValue most", "not understood here"),
        ("Threshold: !Ref Most", "Threshold: !Ref Prefix", "could not convert"),
        ("GreaterThanThreshold", "GreaterThanUpperThreshold", "is not known here"),
        ('ALARM("${Failing}")', "ALARM(", "not understood"),
    ],
)
def test_what_can_not_be_judged_is_said(template, old, new, problem):
    nested = template.parent / "nested" / "template.yaml"
    nested.write_text(nested.read_text().replace(old, new))
    with pytest.raises(UnreadableTemplate, match=problem):
        read_alarms(template)


@pytest.mark.parametrize("text", ["", "- a list", "Resources: [", "Parameters: {}"])
def test_what_is_no_template_is_said(tmp_path, text):
    path = tmp_path / "template.yaml"
    path.write_text(text)
    with pytest.raises(UnreadableTemplate, match=r"template\.yaml"):
        read_alarms(path)


def test_a_parameter_that_is_not_there_is_said(template):
    with pytest.raises(UnreadableTemplate, match="no parameter Mots"):
        read_alarms(template, Mots=7)


def test_every_alarm_of_the_stack_can_be_judged():
    alarms = read_alarms(ROOT / "template.yaml")
    assert {"errors", "down", "ingest-dead", "release-slow"} <= {alarm.name for alarm in alarms}
    states = Watch(alarms, Series()).evaluate(1_800_000_000)
    assert states.keys() == {alarm.name for alarm in alarms}
    assert {action for alarm in alarms for action in alarm.actions} == {
        "steadyrag-page",
        "steadyrag-ticket",
    }
