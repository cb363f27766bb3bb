"""Documents put into the bucket and taken out of it, without the API."""

import pytest

from e2e.local_vendors import Vendors
from e2e.shelf import Shelf
from e2e.waiting import until

NAMESPACE = "by-event"


@pytest.mark.parametrize(
    ("id_", "first", "second", "question", "facts"),
    [
        (
            "garage/parking.md",
            "# Parking\n\nVisitors park on level 2 of the garage.",
            "# Parking\n\nVisitors park on level 5 of the garage.",
            "On which level of the garage do visitors park?",
            ("level 2", "level 5"),
        ),
        (
            "사규/주차 안내.md",
            "# 주차 안내\n\n방문객은 지하 2층에 주차한다.",
            "# 주차 안내\n\n방문객은 지하 5층에 주차한다.",
            "방문객은 지하 몇 층에 주차하나요?",
            ("지하 2층", "지하 5층"),
        ),
    ],
    ids=["english", "korean"],
)
def test_what_happens_to_an_object_happens_to_the_answers(
    shelf: Shelf,
    vendors: Vendors,
    id_: str,
    first: str,
    second: str,
    question: str,
    facts: tuple[str, str],
) -> None:
    def found() -> str:
        vendors.settle()
        return "\n".join(shelf.sources(question, namespace=NAMESPACE))

    shelf.put(id_, first, namespace=NAMESPACE)
    said = until(lambda: shelf.get(id_, namespace=NAMESPACE), lambda r: r.status_code == 200)
    assert said.json()["id"] == id_
    assert shelf.until(id_, "indexed", namespace=NAMESPACE)["chunks"] == 1
    assert facts[0] in found()

    shelf.put(id_, second, namespace=NAMESPACE)
    replaced = until(found, lambda text: facts[1] in text)
    assert facts[0] not in replaced

    shelf.drop(id_, namespace=NAMESPACE)
    shelf.until(id_, "deleted", namespace=NAMESPACE)
    assert not any(fact in found() for fact in facts)


def test_a_file_that_is_no_document_of_ours_is_left_alone(shelf: Shelf) -> None:
    """Outside of `documents/` nothing is told; a namespace that can't be one is passed over."""
    shelf.s3.put_object(Bucket=shelf.bucket, Key="elsewhere/a.md", Body=b"Not ours.")
    shelf.put("a.md", "Not ours.", namespace="not a namespace")
    shelf.put("ours.md", "Ours.", namespace=NAMESPACE)
    shelf.until("ours.md", "indexed", namespace=NAMESPACE)
    assert shelf.dead_letters() == []
