"""A vendor that says 429 while documents flow: they wait, and none is lost."""

from e2e import logs
from e2e.local_vendors import Vendors
from e2e.shelf import Shelf
from e2e.stack import Cloud, Deployed
from e2e.waiting import until

NAMESPACE = "slow"
COUNT = 30


def test_documents_wait_out_a_vendor_that_says_slow_down(
    shelf: Shelf, vendors: Vendors, cloud: Cloud, deployed: Deployed
) -> None:
    function = deployed.outputs["IngestFunction"]

    def postponed() -> float:
        return sum(logs.values(cloud, function, "IngestPostponed"))

    before, lags = postponed(), len(logs.values(cloud, function, "IngestLag"))
    ids = [f"floor {n}.md" for n in range(COUNT)]
    with vendors.throttling("embeddings", retry_after_s=2):
        for number, id_ in enumerate(ids):
            shelf.put(id_, f"The kitchen of floor {number} is blue.", namespace=NAMESPACE)
        until(postponed, lambda times: times > before)
        waiting = [shelf.get(id_, namespace=NAMESPACE).json()["status"] for id_ in ids[:3]]
        assert "indexed" not in waiting
    for id_ in ids:
        shelf.until(id_, "indexed", namespace=NAMESPACE, within_s=60)
    vendors.settle()
    found = shelf.sources("Which colour is the kitchen of floor 17?", namespace=NAMESPACE)
    assert found[0] == "The kitchen of floor 17 is blue."
    assert shelf.dead_letters() == []
    waited = logs.values(cloud, function, "IngestLag")[lags:]
    assert len(waited) >= COUNT
    assert max(waited) > 2
