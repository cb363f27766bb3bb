"""Which test exercises what the templates make, and what none does.

Resources are named by type and logical id, both as shell patterns; what is in a nested
template has the nested stack's id and a slash before its own. The first line that fits counts.
A role is exercised with its function: the local AWS checks every call against its policies.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """`says` is a test, as file and name; of what is unproven, why. `instead` is what stands
    in for a proof."""

    kind: str
    name: str
    says: str
    instead: str = ""

    def fits(self, name: str, kind: str) -> bool:
        return fnmatchcase(kind, self.kind) and fnmatchcase(name, self.name)


EXERCISED = (
    Line("AWS::CloudFormation::Stack", "[!T]*", "test_deployed:test_health_asks_every_dependency"),
    Line(
        "AWS::CloudFormation::Stack",
        "TicketAlarms",
        "test_deployed:test_health_asks_every_dependency",
    ),
    Line(
        "AWS::Lambda::Function",
        "*SearchFunction",
        "test_deployed:test_a_question_is_answered_in_its_language_and_cites_its_document",
    ),
    Line(
        "AWS::Lambda::Function",
        "*HealthFunction",
        "test_deployed:test_health_asks_every_dependency",
    ),
    Line(
        "AWS::Lambda::Function",
        "*DocumentsFunction",
        "test_documents_by_api:test_a_text_goes_in_under_its_id_and_is_found",
    ),
    Line(
        "AWS::Lambda::Function",
        "*IngestFunction",
        "test_documents_by_event:test_what_happens_to_an_object_happens_to_the_answers",
    ),
    Line(
        "AWS::Lambda::Function",
        "*QualityFunction",
        "test_golden:test_a_golden_question_is_asked_on_a_schedule_and_lost_with_its_document",
    ),
    Line(
        "AWS::Lambda::Function",
        "*ReportFunction",
        "test_report:test_the_report_comes_once_and_the_command_prints_the_same",
    ),
    Line(
        "AWS::Lambda::Function",
        "*SmokeFunction",
        "test_smoke_hook:test_a_version_that_answers_is_let_through",
    ),
    Line(
        "AWS::Lambda::Version", "*", "test_release:test_the_aliases_moved_and_what_was_old_is_gone"
    ),
    Line("AWS::Lambda::Alias", "*", "test_release:test_the_aliases_moved_and_what_was_old_is_gone"),
    Line(
        "AWS::Lambda::LayerVersion",
        "*X86*",
        "test_bundle:test_every_library_is_built_for_the_layers_architecture",
    ),
    Line(
        "AWS::Lambda::Permission",
        "*AuthorizerPermission",
        "test_other_parameters:test_a_token_that_the_function_refuses_is_a_403",
    ),
    Line(
        "AWS::Lambda::Permission",
        "*",
        "test_deployed:test_a_question_is_answered_in_its_language_and_cites_its_document",
    ),
    Line(
        "AWS::Lambda::EventSourceMapping",
        "*IngestFunctionChanged",
        "test_documents_by_event:test_what_happens_to_an_object_happens_to_the_answers",
    ),
    Line(
        "AWS::Scheduler::Schedule",
        "*HealthFunctionEveryMinute",
        "test_within_a_minute:test_the_service_asks_itself_every_minute",
    ),
    Line(
        "AWS::Scheduler::Schedule",
        "*ReportFunctionHourly",
        "test_report:test_the_report_comes_once_and_the_command_prints_the_same",
    ),
    Line(
        "AWS::IAM::Role",
        "*ReportFunctionHourlyRole",
        "test_report:test_the_report_comes_once_and_the_command_prints_the_same",
    ),
    Line(
        "AWS::IAM::Role",
        "*ReportRole",
        "test_report:test_the_report_comes_once_and_the_command_prints_the_same",
    ),
    Line(
        "AWS::Logs::LogGroup",
        "*ReportLogGroup",
        "test_report:test_the_report_comes_once_and_the_command_prints_the_same",
    ),
    Line(
        "AWS::Scheduler::Schedule",
        "*IngestFunctionSweep",
        "test_sweep:test_the_sweep_finds_an_object_that_no_event_told_of",
    ),
    Line(
        "AWS::Scheduler::Schedule",
        "*QualityFunctionGolden",
        "test_golden:test_a_golden_question_is_asked_on_a_schedule_and_lost_with_its_document",
    ),
    Line(
        "AWS::IAM::Role",
        "*QualityFunctionGoldenRole",
        "test_golden:test_a_golden_question_is_asked_on_a_schedule_and_lost_with_its_document",
    ),
    Line(
        "AWS::IAM::Role",
        "*QualityRole",
        "test_golden:test_a_golden_question_is_asked_on_a_schedule_and_lost_with_its_document",
    ),
    Line(
        "AWS::IAM::Role",
        "*HealthFunctionEveryMinuteRole",
        "test_within_a_minute:test_the_service_asks_itself_every_minute",
    ),
    Line(
        "AWS::IAM::Role",
        "*IngestFunctionSweepRole",
        "test_sweep:test_the_sweep_finds_an_object_that_no_event_told_of",
    ),
    Line(
        "AWS::IAM::Role",
        "*SearchRole",
        "test_deployed:test_a_question_is_answered_in_its_language_and_cites_its_document",
    ),
    Line(
        "AWS::IAM::Role",
        "*HealthRole",
        "test_deployed:test_health_asks_every_dependency",
    ),
    Line(
        "AWS::IAM::Role",
        "*DocumentsRole",
        "test_documents_by_api:test_a_text_goes_in_under_its_id_and_is_found",
    ),
    Line(
        "AWS::IAM::Role",
        "*IngestRole",
        "test_documents_by_event:test_what_happens_to_an_object_happens_to_the_answers",
    ),
    Line(
        "AWS::IAM::Role", "*SmokeRole", "test_smoke_hook:test_a_version_that_answers_is_let_through"
    ),
    Line(
        "AWS::IAM::ManagedPolicy",
        "*VendorKeysPolicy",
        "test_deployed:test_a_role_reads_the_vendors_keys_and_no_other_secret",
    ),
    Line(
        "AWS::IAM::ManagedPolicy",
        "*SharedStatePolicy",
        "test_limits_and_caches:test_a_role_may_do_with_the_table_what_its_function_does",
    ),
    Line(
        "AWS::IAM::ManagedPolicy",
        "*LiveConfigPolicy",
        "test_within_a_minute:test_a_namespace_is_closed_to_callers_without_a_deployment",
    ),
    Line(
        "AWS::Logs::LogGroup",
        "*SearchLogGroup",
        "test_what_is_logged:test_metrics_are_printed_as_cloudwatch_reads_them",
    ),
    Line(
        "AWS::Logs::LogGroup",
        "*IngestLogGroup",
        "test_what_is_logged:test_metrics_are_printed_as_cloudwatch_reads_them",
    ),
    Line(
        "AWS::Logs::LogGroup",
        "*HealthLogGroup",
        "test_what_is_logged:test_every_line_of_a_function_is_json_or_the_platforms",
    ),
    Line(
        "AWS::Logs::LogGroup",
        "*DocumentsLogGroup",
        "test_what_is_logged:test_every_line_of_a_function_is_json_or_the_platforms",
    ),
    Line(
        "AWS::Logs::LogGroup",
        "*QualityLogGroup",
        "test_golden:test_a_golden_question_is_asked_on_a_schedule_and_lost_with_its_document",
    ),
    Line(
        "AWS::Logs::LogGroup",
        "*SmokeLogGroup",
        "test_smoke_hook:test_a_version_that_cannot_be_invoked_is_stopped",
    ),
    Line(
        "AWS::ApiGateway::RestApi",
        "*",
        "test_deployed:test_a_question_is_answered_in_its_language_and_cites_its_document",
    ),
    Line(
        "AWS::ApiGateway::Deployment",
        "*",
        "test_other_parameters:test_without_a_token_there_is_nothing_but_a_problem_document",
    ),
    Line(
        "AWS::ApiGateway::Stage",
        "*",
        "test_deployed:test_a_flood_without_a_key_is_turned_away_by_the_gateway",
    ),
    Line(
        "AWS::ApiGateway::UsagePlan*",
        "*",
        "test_deployed:test_without_a_valid_key_there_is_nothing_but_a_problem_document",
    ),
    Line(
        "AWS::ApiGateway::ApiKey",
        "*",
        "test_deployed:test_without_a_valid_key_there_is_nothing_but_a_problem_document",
    ),
    Line(
        "AWS::DynamoDB::Table",
        "*CacheTable",
        "test_limits_and_caches:test_everything_shared_is_in_the_table_and_expires",
    ),
    Line(
        "AWS::DynamoDB::Table",
        "*DocumentsTable",
        "test_documents_by_api:test_a_text_goes_in_under_its_id_and_is_found",
    ),
    Line(
        "AWS::SecretsManager::Secret",
        "*SearchIdKey",
        "test_deployed:test_who_got_an_answer_says_what_it_was_worth_and_nobody_else_does",
    ),
    Line(
        "AWS::S3::Bucket",
        "*Documents",
        "test_documents_by_event:test_what_happens_to_an_object_happens_to_the_answers",
    ),
    Line(
        "AWS::SQS::Queue",
        "*IngestQueue",
        "test_documents_by_event:test_what_happens_to_an_object_happens_to_the_answers",
    ),
    Line(
        "AWS::SQS::Queue",
        "*DeadQueue",
        "test_poison:test_an_unreadable_file_is_set_aside_and_brought_back_once_it_is_mended",
    ),
    Line(
        "AWS::SQS::QueuePolicy",
        "*IngestQueuePolicy",
        "test_documents_by_event:test_what_happens_to_an_object_happens_to_the_answers",
    ),
    Line(
        "AWS::CloudWatch::Dashboard",
        "*",
        "test_dashboard:test_the_dashboard_shows_what_was_deployed",
    ),
    Line(
        "AWS::AppConfig::[!D]*",
        "*",
        "test_within_a_minute:test_a_namespace_is_closed_to_callers_without_a_deployment",
    ),
)


def exercised(resources: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Line | None]]:
    """Each resource, and the line that says which test exercises it."""
    for name, resource in resources.items():
        yield name, next((line for line in EXERCISED if line.fits(name, resource["Type"])), None)
