"""Files and folders as a corpus."""

import hashlib
import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from steadyrag.adapters.parsers.addresses import url_under
from steadyrag.adapters.parsers.beir import CORPUS, beir_documents
from steadyrag.adapters.parsers.registry import PARSERS, Parsers
from steadyrag.domain.documents import (
    BrokenDocument,
    FoundDocument,
    ParsedDocument,
    UnreadableDocument,
)
from steadyrag.domain.errors import ConfigError

_NOT_WALKED = frozenset({"node_modules", "__pycache__"})

type Offer = FoundDocument | BrokenDocument


class FileCorpus:
    """The documents in files and folders.

    An id is the path from the parent of the path given, with `/` and in NFC, so that a
    folder may move; in a BEIR folder (one that holds `corpus.jsonl`) it is the document's
    own. An url is the path inside the folder given, below `base_url`. Hidden files and
    folders are passed over unless they are given themselves.
    """

    def __init__(self, paths: Sequence[Path], parsers: Parsers, *, base_url: str | None = None):
        """Raises `ConfigError` for a path that does not exist."""
        self._roots = list(dict.fromkeys(Path(os.path.abspath(path)) for path in paths))
        self._parsers = parsers
        self._base_url = base_url
        self._unread: set[tuple[str, ...]] = set()
        self._skipped: Counter[str] = Counter()
        self._empty: list[Path] = []
        for path, root in zip(paths, self._roots, strict=False):
            if not root.exists():
                raise ConfigError(f"{path} does not exist; check the path")

    def __iter__(self) -> Iterator[Offer]:
        self._skipped.clear()
        self._empty.clear()
        self._unread.clear()
        for root in self._roots:
            offers = 0
            for path in self._walk(root):
                for offer in self._documents(root, path):
                    offers += 1
                    if isinstance(offer, BrokenDocument):
                        self._unread.add(_parts(path))
                    yield offer
            if not offers:  # a wrong path, or a disk that is not mounted
                self._empty.append(root)
                self._unread.add(_parts(root))

    def count(self) -> int:
        total = 0
        for root in self._roots:
            for path in self._walk(root):
                if path.name == CORPUS:
                    total += _lines(path)
                elif path == root or self._parsers.knows(path.name):
                    total += 1
        return total

    def covers(self, origin: str) -> bool:
        parts = _parts(Path(origin))
        above = {parts[:length] for length in range(1, len(parts) + 1)}
        return not above.isdisjoint(map(_parts, self._roots)) and above.isdisjoint(self._unread)

    def holds(self, origin: str) -> bool:
        return os.path.exists(origin)

    def notes(self) -> list[str]:
        notes = [
            f"no documents in {root}; what came from there before is kept" for root in self._empty
        ]
        if self._skipped:
            types = ", ".join(f"{suffix} ({n})" for suffix, n in self._skipped.most_common(8))
            notes.append(
                f"files passed over because their type is not read: {types}; "
                f"read are {', '.join(self._parsers.suffixes)}"
            )
        return notes

    def _walk(self, root: Path) -> Iterator[Path]:
        """Files in the order of their names. Links are followed, each folder only once."""
        if not root.is_dir():
            yield root
            return
        seen: set[tuple[int, int]] = set()
        waiting = [root]
        while waiting:
            path = waiting.pop()
            if not path.is_dir():
                yield path
                continue
            try:
                status = path.stat()
                names = sorted(os.listdir(path))
            except OSError:
                yield path
                continue
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            if CORPUS in names:
                yield path / CORPUS
                continue
            waiting.extend(
                path / name
                for name in reversed(names)
                if not name.startswith(".") and name not in _NOT_WALKED
            )

    def _documents(self, root: Path, path: Path) -> Iterator[Offer]:
        source = _name(path, root.parent)
        try:
            os.fsencode(path).decode()
            if path.name == CORPUS:
                yield from beir_documents(path, source, self._base_url)
            elif path != root and not path.is_dir() and not self._parsers.knows(path.name):
                self._skipped[path.suffix.lower() or "no suffix"] += 1
            else:
                yield self._document(root, path, source)
        except UnicodeDecodeError:
            yield BrokenDocument(source, "its name is not UTF-8; rename it")
        except UnreadableDocument as problem:
            yield BrokenDocument(source, str(problem))
        except OSError as error:
            yield BrokenDocument(source, f"can't be opened ({error.strerror or error})")

    def _document(self, root: Path, path: Path, source: str) -> FoundDocument:
        if not stat.S_ISREG((status := path.stat()).st_mode) and not path.is_dir():
            raise UnreadableDocument("is not a regular file")
        self._parsers.check_size(status.st_size)
        url = url_under(self._base_url, path.name if path == root else _name(path, root))
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        shape = hashlib.sha256(f"{PARSERS}\0{url or ''}\0{content}".encode())
        return FoundDocument(
            document_id=source,
            origin=str(path),
            digest=shape.hexdigest(),
            parse=partial(self._parse, path, source, url),
        )

    def _parse(self, path: Path, source: str, url: str | None) -> ParsedDocument:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UnreadableDocument(f"can't be read ({error.strerror or error})") from error
        return self._parsers.parse(data, document_id=source, name=path.name, url=url)


def _name(path: Path, parent: Path) -> str:
    name = _nfc(path.relative_to(parent).as_posix())
    return name.encode(errors="replace").decode()


def _parts(path: Path) -> tuple[str, ...]:
    return tuple(map(_nfc, path.parts))


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _lines(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(partial(file.read, 1 << 20), b""))
    except OSError:
        return 0
