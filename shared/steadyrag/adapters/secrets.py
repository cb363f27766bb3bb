"""API keys from Secrets Manager or SSM, by name, through Powertools Parameters.

Powertools keeps a value for `max_age_s`, so a rotated key is picked up without a deploy.
"""

from collections.abc import Callable
from typing import Any

from steadyrag.domain.errors import Refused, Unavailable

type Secret = Callable[[], str]

MAX_AGE_S = 300
TIMEOUT_S = 2.0


def secret(reference: str) -> Secret:
    """A reader for `secretsmanager:NAME` or `ssm:/NAME`. Blocks for one AWS call when the
    kept value is too old; raises `Unavailable` or `Refused`, never with the value in it."""
    kind, _, name = reference.partition(":")

    def read() -> str:
        from aws_lambda_powertools.utilities.parameters import SecretsProvider, SSMProvider
        from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
        from botocore.config import Config
        from botocore.exceptions import ClientError

        config = Config(
            connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries={"total_max_attempts": 2}
        )
        if kind not in _providers:
            make = SecretsProvider if kind == "secretsmanager" else SSMProvider
            _providers[kind] = make(boto_config=config)
        options = {"decrypt": True} if kind == "ssm" else {}
        try:
            value = _providers[kind].get(name, max_age=MAX_AGE_S, **options)
        except GetParameterError as error:
            if isinstance(error.__cause__ or error.__context__, ClientError):
                raise Refused("secrets", f"{reference} can't be read") from None
            raise Unavailable("secrets", f"{reference} can't be reached") from None
        return str(value).strip()

    return read


_providers: dict[str, Any] = {}
