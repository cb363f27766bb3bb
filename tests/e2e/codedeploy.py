"""CodeDeploy's wire format, as far as a hook uses it: it tells how it went."""

from vendors.faults import Fault
from vendors.server import Request, Response, Vendor

TARGET = "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus"


class CodeDeploy(Vendor):
    """Keeps what it is told."""

    def operation_of(self, request: Request) -> str:
        return request.headers.get("x-amz-target", "")

    def answer(self, request: Request, fault: Fault | None) -> Response:
        if request.operation != TARGET:
            return self.error(Fault("status", status=400, code="UnknownOperationException"))
        told = request.json["lifecycleEventHookExecutionId"]
        return Response(200, {"lifecycleEventHookExecutionId": told})

    def error(self, fault: Fault) -> Response:
        return Response(fault.status, {"__type": fault.code or "InternalFailure"})

    def told(self, deployment_id: str) -> list[str]:
        """What hooks have said of a deployment, in order."""
        said = [request.json for request in self.asked(TARGET)]
        return [s["status"] for s in said if s["deploymentId"] == deployment_id]
