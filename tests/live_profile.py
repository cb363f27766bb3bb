"""Configuration profiles in the local AWS."""

import json
from typing import Any

import boto3

from servers import REGION, unique


class Profile:
    """A configuration profile of its own, deployed at once."""

    def __init__(self, url: str) -> None:
        self._aws = boto3.client("appconfig", endpoint_url=url, region_name=REGION)
        self.application = self._aws.create_application(Name=unique("app"))["Id"]
        self.environment = self._aws.create_environment(
            ApplicationId=self.application, Name=unique("env")
        )["Id"]
        self.profile = self._aws.create_configuration_profile(
            ApplicationId=self.application, Name=unique("live"), LocationUri="hosted"
        )["Id"]
        self._strategy = self._aws.create_deployment_strategy(
            Name=unique("at-once"),
            DeploymentDurationInMinutes=0,
            FinalBakeTimeInMinutes=0,
            GrowthFactor=100,
            ReplicateTo="NONE",
        )["Id"]

    @property
    def name(self) -> str:
        return f"{self.application}/{self.environment}/{self.profile}"

    def deploy(self, document: Any) -> None:
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        version = self._aws.create_hosted_configuration_version(
            ApplicationId=self.application,
            ConfigurationProfileId=self.profile,
            Content=content,
            ContentType="application/json",
        )["VersionNumber"]
        self._aws.start_deployment(
            ApplicationId=self.application,
            EnvironmentId=self.environment,
            ConfigurationProfileId=self.profile,
            ConfigurationVersion=str(version),
            DeploymentStrategyId=self._strategy,
        )

    def close(self) -> None:
        self._aws.close()
