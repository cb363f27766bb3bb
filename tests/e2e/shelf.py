"""The documents of the deployed stack, put in, looked up and taken out over each way there is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from e2e.waiting import until


@dataclass(frozen=True, slots=True)
class Shelf:
    """`http` is a caller of the API, `s3` and `sqs` are clients of the account's owner."""

    http: httpx.Client
    s3: Any
    sqs: Any
    outputs: Mapping[str, str]

    @property
    def bucket(self) -> str:
        return self.outputs["DocumentsBucket"]

    def put(self, id_: str, content: bytes | str, *, namespace: str) -> None:
        """Into the bucket, which tells the queue."""
        body = content.encode() if isinstance(content, str) else content
        self.s3.put_object(Bucket=self.bucket, Key=f"documents/{namespace}/{id_}", Body=body)

    def drop(self, id_: str, *, namespace: str) -> None:
        """Out of the bucket, which tells the queue."""
        self.s3.delete_object(Bucket=self.bucket, Key=f"documents/{namespace}/{id_}")

    def post(self, **body: Any) -> httpx.Response:
        return self.http.post("/documents", json=body)

    def get(self, id_: str, *, namespace: str) -> httpx.Response:
        return self.http.get(f"/documents/{quote(id_)}", params={"namespace": namespace})

    def delete(self, id_: str, *, namespace: str) -> httpx.Response:
        return self.http.delete(f"/documents/{quote(id_)}", params={"namespace": namespace})

    def until(
        self, id_: str, status: str, *, namespace: str, within_s: float = 30.0
    ) -> dict[str, Any]:
        """What GET says of a document once it has this status."""

        def look() -> dict[str, Any]:
            body: dict[str, Any] = self.get(id_, namespace=namespace).json()
            return body

        return until(look, lambda body: body.get("status") == status, within_s=within_s)

    def sources(self, query: str, *, namespace: str) -> list[str]:
        """The texts that a question finds."""
        asked = {"query": query, "namespace": namespace, "generate": False}
        response = self.http.post("/search", json=asked)
        assert response.status_code == 200, response.text
        return [source["text"] for source in response.json()["sources"]]

    def dead_letters(self) -> list[dict[str, Any]]:
        """Messages set aside, with their attributes; they stay where they are."""
        answer = self.sqs.receive_message(
            QueueUrl=self.outputs["DeadQueueUrl"],
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            VisibilityTimeout=0,
        )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found

    def under_way(self) -> int:
        """Messages of the ingest queue that wait, are worked on or are put off."""
        counted = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ]
        found = self.sqs.get_queue_attributes(
            QueueUrl=self.outputs["IngestQueueUrl"], AttributeNames=counted
        )["Attributes"]
        return sum(int(found[name]) for name in counted)

    def redrive(self, letter: Mapping[str, Any]) -> None:
        """What the console's redrive does with a message: back to the queue, whole."""
        self.sqs.send_message(
            QueueUrl=self.outputs["IngestQueueUrl"],
            MessageBody=letter["Body"],
            MessageAttributes=letter["MessageAttributes"],
        )
        self.sqs.delete_message(
            QueueUrl=self.outputs["DeadQueueUrl"], ReceiptHandle=letter["ReceiptHandle"]
        )


def keys_of(letter: Mapping[str, Any]) -> list[str]:
    """The objects that a message is about, as S3 writes their keys."""
    return [record["s3"]["object"]["key"] for record in json.loads(letter["Body"])["Records"]]
