"""A document that can't be read: set aside with the reason, and brought back once mended."""

from e2e.files import pdf
from e2e.local_vendors import Vendors
from e2e.shelf import Shelf, keys_of
from e2e.waiting import until

NAMESPACE = "poison"
ID = "파손/broken.pdf"


def test_an_unreadable_file_is_set_aside_and_brought_back_once_it_is_mended(
    shelf: Shelf, vendors: Vendors
) -> None:
    shelf.put(ID, b"%PDF-1.7 and then nothing that a reader knows", namespace=NAMESPACE)
    shelf.put("sound.md", "The sound one is taken in beside it.", namespace=NAMESPACE)
    failed = shelf.until(ID, "failed", namespace=NAMESPACE)
    assert failed["reason"]
    assert failed["chunks"] == 0
    shelf.until("sound.md", "indexed", namespace=NAMESPACE)
    (letter,) = until(shelf.dead_letters, bool)
    assert letter["MessageAttributes"]["reason"]["StringValue"] == failed["reason"]
    (key,) = keys_of(letter)
    assert key.startswith("documents/poison/")
    assert key.endswith("broken.pdf")

    shelf.redrive(letter)  # before anything was mended: it comes back
    (letter,) = until(shelf.dead_letters, bool)
    assert shelf.get(ID, namespace=NAMESPACE).json()["status"] == "failed"

    shelf.put(ID, pdf("The file was mended on Friday."), namespace=NAMESPACE)
    shelf.until(ID, "indexed", namespace=NAMESPACE)
    shelf.redrive(letter)
    vendors.settle()
    found = until(lambda: shelf.sources("When was the file mended?", namespace=NAMESPACE), bool)
    assert found[0] == "The file was mended on Friday."
    until(shelf.under_way, lambda count: count == 0)
    assert shelf.dead_letters() == []
    assert shelf.get(ID, namespace=NAMESPACE).json()["reason"] is None
