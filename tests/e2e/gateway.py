"""What API Gateway makes of an OpenAPI body and the local one leaves out.

The local CloudFormation reads paths, keys and Lambda integrations from the body that SAM
writes. The gateway's own responses and the CORS preflight are in the same body: they are put
through API Gateway's interface here, and the stage is deployed again.
"""

import re
from collections.abc import Mapping
from typing import Any


def complete(gateway: Any, api_id: str, stage: str, body: Mapping[str, Any]) -> None:
    """Adds to the API what `body` says of gateway responses and of `options` methods.

    `gateway` is a boto3 client of `apigateway`; `body` has its intrinsics resolved.
    """
    for kind, response in body.get("x-amazon-apigateway-gateway-responses", {}).items():
        status = {"statusCode": str(response["statusCode"])} if "statusCode" in response else {}
        gateway.put_gateway_response(
            restApiId=api_id,
            responseType=kind,
            responseParameters=response.get("responseParameters", {}),
            responseTemplates=response.get("responseTemplates", {}),
            **status,
        )
    paths = {item["path"]: item["id"] for item in gateway.get_resources(restApiId=api_id)["items"]}
    for path, methods in body["paths"].items():
        if preflight := methods.get("options"):
            _preflight(gateway, api_id, paths[path], preflight)
    gateway.create_deployment(restApiId=api_id, stageName=stage)


def _preflight(gateway: Any, api_id: str, resource_id: str, method: Mapping[str, Any]) -> None:
    integration = method["x-amazon-apigateway-integration"]
    place = {"restApiId": api_id, "resourceId": resource_id, "httpMethod": "OPTIONS"}
    gateway.put_integration(
        **place, type="MOCK", requestTemplates=integration.get("requestTemplates", {})
    )
    for response in integration["responses"].values():
        status = {**place, "statusCode": str(response["statusCode"])}
        headers = response.get("responseParameters", {})
        gateway.put_method_response(**status, responseParameters=dict.fromkeys(headers, False))
        gateway.put_integration_response(
            **status,
            responseParameters=headers,
            responseTemplates=response.get("responseTemplates", {}),
        )


def resolve(node: Any, values: Mapping[str, str]) -> Any:
    """`node` with `Ref` and `Fn::Sub` of what `values` names put in; other intrinsics stay."""
    if isinstance(node, list):
        return [resolve(part, values) for part in node]
    if not isinstance(node, dict):
        return node
    if set(node) == {"Ref"} and node["Ref"] in values:
        return values[node["Ref"]]
    if set(node) == {"Fn::Sub"} and isinstance(node["Fn::Sub"], str):
        return re.sub(
            r"\$\{([A-Za-z0-9:]+)\}", lambda m: values.get(m[1], m[0]), str(node["Fn::Sub"])
        )
    return {key: resolve(value, values) for key, value in node.items()}
