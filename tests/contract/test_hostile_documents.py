"""Documents from strangers, read in a process of their own."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.hostile_documents import BOMBS, PAGES, page, paragraph, pdf, stream, word
from steadyrag.adapters.parsers import isolated as isolated_module
from steadyrag.adapters.parsers.isolated import IsolatedParsers
from steadyrag.adapters.parsers.registry import Parsers
from steadyrag.domain.documents import ParsedDocument, UnreadableDocument
from steadyrag.domain.errors import Unavailable
from unasked import unasked


@pytest.fixture(scope="module")
def parsers() -> Iterator[IsolatedParsers]:
    with IsolatedParsers(memory_mb=512, timeout_s=3) as parsers:
        yield parsers


@pytest.fixture(scope="module")
def patient() -> Iterator[IsolatedParsers]:
    """Where something else than time must run out, on a busy machine too."""
    with IsolatedParsers(memory_mb=512, timeout_s=60) as parsers:
        yield parsers


def parse(parsers: Parsers, name: str, data: bytes | str) -> ParsedDocument:
    raw = data.encode() if isinstance(data, str) else data
    return parsers.parse(raw, document_id=f"docs/{name}", name=name, url="https://a.example/1")


class TestBombs:
    @pytest.mark.parametrize("name", BOMBS)
    def test_each_is_refused_with_a_reason_or_read_within_its_limits(
        self, parsers: IsolatedParsers, name: str
    ) -> None:
        try:
            document = parse(parsers, name, BOMBS[name])
        except UnreadableDocument as problem:
            reason = str(problem)
        else:
            reason = f"was read, {len(document.sections)} sections"
            assert sum(len(section.text) for section in document.sections) <= 4_000_000
        assert 10 < len(reason) <= 300
        assert parse(parsers, "next.txt", "The next one.").sections[0].text == "The next one."

    @pytest.mark.parametrize(
        "name", ["spaces before the end of a line.txt", "blank lines.txt", "brackets.md"]
    )
    def test_what_only_looks_endless_is_read(self, patient: IsolatedParsers, name: str) -> None:
        assert parse(patient, name, BOMBS[name]).sections

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("a part that unpacks to 300 MB.docx", "needs more than 512 MB of memory to be read"),
            ("a cell that spans a billion columns.docx", "needs more than 512 MB"),
            ("more than may be unpacked.docx", "unpacks to 601 MB; at most 500 MB are taken"),
            ("a billion laughs.docx", "is damaged, or is no docx"),
        ],
    )
    def test_the_reason_is_for_a_person_to_read(
        self, patient: IsolatedParsers, name: str, reason: str
    ) -> None:
        with pytest.raises(UnreadableDocument, match=reason):
            parse(patient, name, BOMBS[name])

    def test_what_takes_too_long_is_stopped_and_the_next_document_is_read(self) -> None:
        with IsolatedParsers(timeout_s=1) as parsers:
            with pytest.raises(UnreadableDocument, match="takes longer than 1 s to be read"):
                parse(parsers, "a.html", BOMBS["half a million attributes.html"])
            assert parse(parsers, "a.txt", "Next.").sections[0].text == "Next."

    def test_more_text_than_may_come_back_is_refused(self) -> None:
        deep = "".join(f"{'#' * level} {'h' * 290}\n\n" for level in range(1, 6))
        text = deep + "".join(f"###### {'h' * 280}{n}\n\nx\n\n" for n in range(12_000))
        with (
            IsolatedParsers(max_characters=100_000) as parsers,
            pytest.raises(UnreadableDocument, match="more headings and text than are read"),
        ):
            parse(parsers, "a.md", text)

    def test_the_process_that_asks_stays_small(self, tmp_path: Path) -> None:
        for number, (name, data) in enumerate(BOMBS.items()):
            (tmp_path / f"{number}{Path(name).suffix}").write_bytes(data)
        script = """
import resource, sys
from pathlib import Path
from steadyrag.adapters.parsers.isolated import IsolatedParsers
from steadyrag.domain.documents import UnreadableDocument
def most():
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes // (1024 if sys.platform == "linux" else 1024 * 1024)
before = most()
with IsolatedParsers(memory_mb=256, timeout_s=1) as parsers:
    for path in sorted(Path(sys.argv[1]).iterdir()):
        try:
            parsers.parse_file(path, document_id=path.name)
        except UnreadableDocument:
            pass
print(most() - before, sorted({"lxml", "docx", "pypdf", "markdown_it"} & sys.modules.keys()))
"""
        ran = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        grown_mb, loaded = ran.stdout.split(maxsplit=1)
        assert int(grown_mb) < 60
        assert loaded.strip() == "[]"


class TestEntities:
    @pytest.fixture
    def asked(self) -> Iterator[tuple[str, list[str]]]:
        """An address nobody should ask, and what it was asked for."""
        with unasked() as server:
            yield server

    @pytest.fixture(params=["in a process of its own", "here"])
    def either(self, request: pytest.FixtureRequest, parsers: IsolatedParsers) -> Parsers:
        return parsers if request.param != "here" else Parsers()

    @pytest.mark.parametrize("where", ["file:///etc/passwd", "/etc/passwd"])
    def test_a_file_of_ours_is_never_read_into_a_document(
        self, either: Parsers, where: str
    ) -> None:
        dtd = f'<!DOCTYPE x [<!ENTITY f SYSTEM "{where}"><!ENTITY % p SYSTEM "{where}">%p;]>'
        for name, data in {
            "a.docx": word(paragraph("before &f; after"), before=dtd),
            "a.html": f"{dtd}<p>before &f; after</p>".encode(),
            "a.xhtml": f'<?xml version="1.0"?>{dtd}<html><p>before &f; after</p></html>'.encode(),
            "a.md": f"{dtd}\n\nbefore &f; after ![x]({where}) <iframe src={where}>".encode(),
        }.items():
            try:
                said = repr(parse(either, name, data))
            except UnreadableDocument as problem:
                said = str(problem)
            assert "root:" not in said
            assert "/bin/" not in said

    def test_nothing_that_a_document_points_at_is_fetched(
        self, either: Parsers, asked: tuple[str, list[str]]
    ) -> None:
        url, lines = asked
        dtd = f'<!DOCTYPE x SYSTEM "{url}/dtd" [<!ENTITY f SYSTEM "{url}/entity">]>'
        links = (
            f'<base href="{url}/"><link rel=stylesheet href="{url}/css"><img src="{url}/img">'
            f'<script src="{url}/js"></script><iframe src="{url}/frame"></iframe>'
            f'<meta http-equiv=refresh content="0;url={url}/refresh"><p>x</p>'
        )
        action = f"<</S/URI/URI({url}/open)>>".encode()
        for name, data in {
            "a.docx": word(paragraph("&f;"), before=dtd),
            "a.html": f"{dtd}{links}".encode(),
            "a.md": f"---\nsource: {url}/front\n---\n![i]({url}/img)\n\n{links}".encode(),
            "a.pdf": pdf(
                PAGES,
                page(),
                stream(b"BT /F 12 Tf (x) Tj ET"),
                root=b"<</Type/Catalog/Pages 2 0 R/OpenAction%s>>" % action,
            ),
        }.items():
            parse(either, name, data)
        assert lines == []


class TestProcess:
    def test_no_variable_of_ours_is_in_its_environment(self, monkeypatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        with IsolatedParsers() as parsers:
            parse(parsers, "a.txt", "x")
            variables = Path(f"/proc/{pid_of(parsers)}/environ").read_bytes().split(b"\0")
        assert {name.partition(b"=")[0] for name in variables if name} <= {
            b"PYTHONPATH",
            b"LD_LIBRARY_PATH",
            b"LC_ALL",
        }

    @pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
    @pytest.mark.parametrize(
        "attempt",
        [
            "socket.socket()",
            "socket.socket(socket.AF_UNIX)",
            "socket.socketpair()",
            "os.fork()",
            "os.execv('/bin/true', ['true'])",
            "os.kill(os.getppid(), 0)",
            "os.setsid()",
            "resource.prlimit(os.getppid(), resource.RLIMIT_CPU)",
            "open('/tmp/left-behind', 'w')",
            "open(f'/proc/{os.getppid()}/mem', 'r+b')",
            "os.open('/etc/hostname', os.O_WRONLY)",
            "os.rename('/tmp/a', '/tmp/b')",
            "os.unlink('/tmp/a')",
            "os.mkdir('/tmp/left-behind')",
            "os.symlink('/etc/passwd', '/tmp/left-behind')",
            "os.chmod('/tmp', 0o777)",
        ],
    )
    def test_what_reads_a_document_reaches_no_network_and_no_process(self, attempt: str) -> None:
        script = (
            "import os, resource, socket\n"
            "from steadyrag.adapters.parsers.sandbox import refuse_system_calls\n"
            "assert refuse_system_calls()\n"
            "try:\n"
            f"    {attempt}\n"
            "except PermissionError:\n"
            "    print('refused')\n"
            "open('/etc/hosts').close()\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=30
        )
        assert (ran.stdout.strip(), ran.returncode) == ("refused", 0), ran.stderr

    def test_it_says_when_it_could_not_be_confined(
        self, parsers: IsolatedParsers, caplog: pytest.LogCaptureFixture
    ) -> None:
        parse(parsers, "a.txt", "x")
        assert ("without a system call filter" in caplog.text) is (sys.platform != "linux")

    def test_one_that_was_killed_while_idle_is_started_again(self) -> None:
        with IsolatedParsers() as parsers:
            parse(parsers, "a.txt", "x")
            os.kill(before := pid_of(parsers), signal.SIGKILL)
            assert parse(parsers, "a.txt", "y").sections[0].text == "y"
            assert pid_of(parsers) != before

    def test_it_ends_with_what_started_it(self) -> None:
        script = """
import os
from steadyrag.adapters.parsers.isolated import IsolatedParsers
parsers = IsolatedParsers()
parsers.parse(b"x", document_id="a", name="a.txt")
print(parsers._child._process.pid, flush=True)
os._exit(0)
"""
        ran = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
        )
        assert gone(int(ran.stdout))

    @pytest.mark.parametrize("program", ["/nonexistent/python", "/bin/false"])
    def test_one_that_cannot_be_started_is_not_the_documents_fault(
        self, monkeypatch, program: str
    ) -> None:
        monkeypatch.setattr(isolated_module.sys, "executable", program)
        with IsolatedParsers() as parsers, pytest.raises(Unavailable, match="parsers: "):
            parse(parsers, "a.txt", "x")

    def test_many_threads_share_it(self, parsers: IsolatedParsers) -> None:
        with ThreadPoolExecutor(8) as pool:
            read = pool.map(lambda n: parse(parsers, f"{n}.txt", f"Text {n}."), range(40))
            assert [d.sections[0].text for d in read] == [f"Text {n}." for n in range(40)]

    @pytest.mark.parametrize(
        "written",
        [
            b"",
            b"{",
            b"[" * 100_000,
            b'{"confined": true, "document": {"title": 1}}',
            b'{"confined": true, "document": {"document_id": "", "title": "", "sections": [3]}}',
        ],
    )
    def test_nonsense_from_a_reader_that_was_taken_over_is_not_believed(
        self, parsers: IsolatedParsers, monkeypatch, written: bytes
    ) -> None:
        def overwrite(task: object, document: int, reply: int) -> int:
            os.write(reply, written)
            return 0

        monkeypatch.setattr(parsers, "_run", overwrite)
        with pytest.raises(UnreadableDocument, match="made its parser answer nonsense"):
            parse(parsers, "a.txt", "x")

    def test_a_reader_cannot_give_its_document_another_name(
        self, parsers: IsolatedParsers, monkeypatch
    ) -> None:
        forged = (
            b'{"confined": true, "document": {"document_id": "other", "title": "t",'
            b' "sections": [], "url": "https://evil.example"}}'
        )

        def overwrite(task: object, document: int, reply: int) -> int:
            os.write(reply, forged)
            return 0

        monkeypatch.setattr(parsers, "_run", overwrite)
        document = parse(parsers, "a.txt", "x")
        assert (document.document_id, document.url) == ("docs/a.txt", "https://a.example/1")


def pid_of(parsers: IsolatedParsers) -> int:
    assert parsers._child is not None
    return parsers._child._process.pid


def gone(pid: int) -> bool:
    """Whether it ends within some seconds."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
            if " Z " in Path(f"/proc/{pid}/stat").read_text():
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        threading.Event().wait(0.05)
    return False


class TestGoodDocuments:
    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("a.txt", "첫 문장입니다.\n\nSecond."),
            (
                "a.md",
                "---\ntitle: 제목\nyear: 2026\ndraft: false\nscore: 0.1\ntags: [a, 나]\n---\n",
            ),
            ("a.md", "# A\n\nb\n\n## C\n\n- d\n- e\n\n| f | g |\n|---|---|\n| 1 | 2 |"),
            ("a.html", "<title>T</title><h1>H</h1><p>a &amp; b</p><ul><li>c</ul>"),
            ("a.docx", word(paragraph("하나") + paragraph("둘"))),
            ("a.pdf", pdf(PAGES, page(), stream(b"BT /F 12 Tf (Text.) Tj ET"))),
            ("empty.md", ""),
        ],
    )
    def test_they_are_read_the_same_in_either_process(
        self, parsers: IsolatedParsers, tmp_path: Path, name: str, data: bytes | str
    ) -> None:
        here = parse(Parsers(), name, data)
        there = parse(parsers, name, data)
        assert exact(there) == exact(here)
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        assert exact(parsers.parse_file(path, document_id=f"docs/{name}", url=here.url)) == exact(
            here
        )

    @given(
        year=st.integers(-(10**15) + 1, 10**15 - 1),
        score=st.decimals(-(10**14), 10**14, places=9, allow_nan=False),
        text=st.text(min_size=1),
    )
    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    def test_any_value_comes_through_exactly(self, parsers, year, score, text) -> None:
        raw = f"---\nyear: {year}\nscore: {score:f}\n---\n# a\n\n{text}".encode(
            errors="surrogatepass"
        )
        assert outcome(parsers, raw) == outcome(Parsers(), raw)

    def test_a_reason_is_the_same_in_either_process(self, parsers: IsolatedParsers) -> None:
        for name, data in {
            "a.txt": b"\x7fELF\x02" + b"\0" * 64,
            "a.pdf": b"%PDF-1.7\n\xff",
            "a.docx": b"PK\x03\x04junk",
            "a.zip": b"PK",
        }.items():
            with pytest.raises(UnreadableDocument) as here:
                parse(Parsers(), name, data)
            with pytest.raises(UnreadableDocument) as there:
                parse(parsers, name, data)
            assert str(there.value) == str(here.value)


class TestFiles:
    def test_a_pipe_is_refused_and_not_waited_for(
        self, parsers: IsolatedParsers, tmp_path: Path
    ) -> None:
        os.mkfifo(tmp_path / "a.md")
        with pytest.raises(UnreadableDocument, match="not a regular file"):
            parsers.parse_file(tmp_path / "a.md", document_id="a")

    def test_one_that_is_not_there_or_too_big_is_refused_unread(
        self, parsers: IsolatedParsers, tmp_path: Path
    ) -> None:
        with pytest.raises(UnreadableDocument, match="can't be read"):
            parsers.parse_file(tmp_path / "none.md", document_id="a")
        with (tmp_path / "big.md").open("wb") as file:
            file.truncate(200_000_000)
        with pytest.raises(UnreadableDocument, match="at most 100 MB are read"):
            parsers.parse_file(tmp_path / "big.md", document_id="a")

    def test_its_name_may_say_the_format_where_the_files_does_not(
        self, parsers: IsolatedParsers, tmp_path: Path
    ) -> None:
        (tmp_path / "download").write_text("# Title\n\nText.")
        document = parsers.parse_file(tmp_path / "download", document_id="x", name="a.md")
        assert document.title == "Title"


def outcome(parsers: Parsers, raw: bytes) -> object:
    try:
        return exact(parse(parsers, "a.md", raw))
    except UnreadableDocument as problem:
        return str(problem)


def exact(document: ParsedDocument) -> tuple[object, ...]:
    """With the types of all values: True is not 1."""
    return (
        document,
        type(document.sections),
        {name: (type(value), value) for name, value in document.metadata.items()},
    )
