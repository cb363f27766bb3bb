"""Secrets Manager and SSM Parameter Store, as far as reading a key goes."""

from vendors.faults import Fault
from vendors.server import Request, Response, Vendor


class KeyStore(Vendor):
    """`values` is what either service holds, by name.

    Operations for faults and records: `GetSecretValue`, `GetParameter`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.values = {"rag/openai": "sk-first", "/rag/pinecone": "pc-first"}

    def operation_of(self, request: Request) -> str:
        return request.headers["x-amz-target"].partition(".")[2]

    def answer(self, request: Request, fault: Fault | None) -> Response:
        asked = request.json
        if request.operation == "GetSecretValue":
            name = asked["SecretId"]
            answer = {"Name": name, "SecretString": self.values[name]}
        else:
            assert asked["WithDecryption"] is True
            name = asked["Name"]
            answer = {"Parameter": {"Name": name, "Value": self.values[name]}}
        return Response(200, answer, {"content-type": "application/x-amz-json-1.1"})

    def error(self, fault: Fault) -> Response:
        return Response(fault.status, {"__type": fault.code or "InternalServiceError"})
