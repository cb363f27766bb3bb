"""The network that a Valkey cache brings, and that nothing else does."""

from ipaddress import ip_network
from typing import Any

import pytest

from infra.cloudformation import Template, shown
from infra.stack import FUNCTION, environment, template
from steadyrag.settings import load


def network(**parameters: str) -> Template:
    return template(CacheMode="elasticache", **parameters).nested("Network")


def only(kind: str, **parameters: str) -> dict[str, Any]:
    ((_, found),) = network(**parameters).of_type(kind)
    return found


GROUPS = dict(network().of_type("AWS::EC2::SecurityGroup"))
IN_THE_NETWORK = {"SearchFunction", "HealthFunction", "DocumentsFunction", "IngestFunction"}


def test_as_it_comes_there_is_no_network_to_pay_for() -> None:
    assert "Network" not in dict(template().of_type("AWS::CloudFormation::Stack"))
    for name, function in template().of_type(FUNCTION):
        assert "VpcConfig" not in function, name
        assert not {v for v in environment(function) if v.startswith("STEADYRAG_CACHE_")}


def test_functions_that_use_the_cache_are_in_the_private_subnets_and_sign_in_as_its_user() -> None:
    inside = set()
    for name, function in template(CacheMode="elasticache").of_type(FUNCTION):
        settings = load(environment(function))
        assert settings.cache_url
        assert settings.cache_url.startswith("rediss://")
        assert (settings.cache_user, settings.cache_name) == ("stack-functions", "stack")
        if "VpcConfig" in function:
            inside.add(name)
            (group,) = function["VpcConfig"]["SecurityGroupIds"]
            assert shown(group) == "Network.Outputs.FunctionSecurityGroup"
    assert inside == IN_THE_NETWORK


def test_functions_reach_the_cache_and_what_speaks_tls_and_nothing_else() -> None:
    rules = GROUPS["FunctionSecurityGroup"]["SecurityGroupEgress"]
    reached = {(rule["CidrIp"], rule["FromPort"], rule["ToPort"]) for rule in rules}
    assert reached == {("10.72.0.0/20", 6379, 6379), ("0.0.0.0/0", 443, 443)}
    assert "SecurityGroupIngress" not in GROUPS["FunctionSecurityGroup"]


def test_the_cache_is_reached_by_the_functions_alone() -> None:
    (rule,) = GROUPS["CacheSecurityGroup"]["SecurityGroupIngress"]
    assert rule["SourceSecurityGroupId"] == {"Ref": "FunctionSecurityGroup"}
    assert (rule["FromPort"], rule["ToPort"]) == (6379, 6379)
    (nowhere,) = GROUPS["CacheSecurityGroup"]["SecurityGroupEgress"]
    assert ip_network(nowhere["CidrIp"]).num_addresses == 1


def test_there_is_one_way_out_and_it_is_not_in_the_private_subnets() -> None:
    assert only("AWS::EC2::NatGateway")["SubnetId"] == {"Ref": "PublicSubnet"}
    routes = dict(network().of_type("AWS::EC2::Route"))
    assert routes["PrivateToInternet"]["NatGatewayId"] == {"Ref": "Nat"}
    for name, subnet in network().of_type("AWS::EC2::Subnet"):
        assert not subnet.get("MapPublicIpOnLaunch"), name


def zones(**parameters: str) -> dict[str, Any]:
    subnets = network(**parameters).of_type("AWS::EC2::Subnet")
    return {name: subnet["AvailabilityZone"] for name, subnet in subnets}


def test_the_zones_are_the_regions_first_two_unless_others_are_named() -> None:
    first, second = ({"Fn::Select": [n, {"Fn::GetAZs": ""}]} for n in (0, 1))
    assert zones() == {"PrivateSubnetA": first, "PrivateSubnetB": second, "PublicSubnet": first}
    named = "us-east-1d,us-east-1f"
    first, second = ({"Fn::Select": [n, {"Fn::Split": [",", named]}]} for n in (0, 1))
    assert zones(AvailabilityZones=named) == {
        "PrivateSubnetA": first,
        "PrivateSubnetB": second,
        "PublicSubnet": first,
    }


def test_documents_and_tables_do_not_go_through_the_gateway() -> None:
    endpoints = dict(network().of_type("AWS::EC2::VPCEndpoint")).values()
    assert {endpoint["VpcEndpointType"] for endpoint in endpoints} == {"Gateway"}
    assert {endpoint["ServiceName"] for endpoint in endpoints} == {
        *("com.amazonaws.eu-west-1.s3", "com.amazonaws.eu-west-1.dynamodb"),
    }


def test_the_cache_is_valkey_with_bounds_and_without_snapshots() -> None:
    cache = only("AWS::ElastiCache::ServerlessCache", CacheMaxGb="2", CacheMaxEcpu="3000")
    assert cache["Engine"] == "valkey"
    assert cache["CacheUsageLimits"] == {
        "DataStorage": {"Maximum": "2", "Unit": "GB"},
        "ECPUPerSecond": {"Maximum": "3000"},
    }
    assert cache["SnapshotRetentionLimit"] == 0
    assert cache["UserGroupId"] == {"Ref": "CacheUsers"}


def test_the_caches_user_proves_by_iam_who_it_is() -> None:
    user = only("AWS::ElastiCache::User")
    assert user["AuthenticationMode"] == {"Type": "iam"}
    assert user["UserId"] == user["UserName"] == "stack-functions"
    assert only("AWS::ElastiCache::UserGroup")["UserIds"] == [{"Ref": "CacheUser"}]


@pytest.mark.parametrize(("days", "logged"), [("0", False), ("30", True)])
def test_refused_connections_are_logged_when_asked_for(days: str, logged: bool) -> None:
    flows = list(network(FlowLogDays=days).of_type("AWS::EC2::FlowLog"))
    assert bool(flows) is logged
    if logged:
        assert only("AWS::Logs::LogGroup", FlowLogDays=days)["RetentionInDays"] == "30"
