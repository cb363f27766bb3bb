"""The deployed stack, set up once a session: built, adapted, deployed, filled, asked.

Everything runs in processes of its own on loopback, and what it leaves behind (logs, the
adapted template) stays in `.aws-sam/e2e` until the next run.
"""

import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from e2e import callers, logs, stack
from e2e.adapt import adapt
from e2e.codedeploy import CodeDeploy
from e2e.leave_out import Change
from e2e.local_vendors import VISIBLE_AFTER_S, Vendors
from e2e.processes import free_port, run, server, tail
from e2e.shelf import Shelf
from e2e.templates import Templates
from vendors.server import serving

ROOT = stack.ROOT
WORK = ROOT / ".aws-sam" / "e2e"
DOCUMENTS = Path(__file__).parent / "documents"
SAM = ROOT / ".venv-sam" / "bin" / "sam"
AWS = ROOT / ".venv-cloud" / "bin" / "ministack"
LAMBDA_PYTHON = ROOT / ".venv-runtime" / "bin" / "python"
CLI = Path(sys.executable).parent / "steadyrag"

KEYS = {"openai-api-key": "sk-local-openai", "pinecone-api-key": "pc-local"}
"""What the vendor servers take, under the names that the template defaults to."""

LAST = (
    "test_within_a_minute",
    "test_release",
    "test_smoke_hook",
    "test_other_parameters",
    "test_deleted",
)
"""Files that change what the others count on, in this order."""

type Caller = Callable[[], httpx.Client]

type Step = Callable[[str], contextlib.AbstractContextManager[None]]

type Say = Callable[[str], None]


class Command(Protocol):
    def __call__(self, *arguments: str, env: Mapping[str, str]) -> str: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
    items.sort(key=lambda item: LAST.index(item.path.stem) if item.path.stem in LAST else -1)


@pytest.fixture(scope="session", autouse=True)
def _stop_on_sigterm() -> None:
    """A SIGTERM ends the session as Ctrl-C does, so that nothing started here survives it."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Prints at once, whatever pytest captures."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    terminal = request.config.get_terminal_writer()

    def printed(line: str) -> None:
        with capture.global_and_fixture_disabled():
            if terminal.width_of_current_line:
                terminal.line()
            terminal.line(line, flush=True)

    return printed


@pytest.fixture(scope="session")
def step(say: Callable[[str], None]) -> Step:
    """Names a step and says how long it took."""

    @contextlib.contextmanager
    def timed(name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        except BaseException:
            say(f"  {time.monotonic() - started:6.1f} s  {name}: FAILED")
            raise
        say(f"  {time.monotonic() - started:6.1f} s  {name}")

    return timed


@pytest.fixture(scope="session")
def work(say: Callable[[str], None], step: Step) -> Path:
    missing = [p for p in (SAM, AWS, LAMBDA_PYTHON) if not p.exists()]
    if missing:
        pytest.fail(f"{missing[0]} is missing; `make e2e` installs it")
    with step("remove what the last run left"):
        shutil.rmtree(WORK, ignore_errors=True)
        (WORK / "tmp").mkdir(parents=True)
    return WORK


@pytest.fixture(scope="session")
def built(work: Path, step: Step) -> Path:
    """What `sam build` makes of the project."""
    with step("sam build (both architectures)"):
        return stack.build(SAM, work / "sam.log")


@pytest.fixture(scope="session")
def vendors(work: Path, step: Step, cloud: stack.Cloud) -> Iterator[Vendors]:
    openai, pinecone = free_port(), free_port()
    command = [
        *(sys.executable, "-m", "vendors"),
        *("--openai-port", str(openai), "--openai-key", KEYS["openai-api-key"]),
        *("--pinecone-port", str(pinecone), "--pinecone-key", KEYS["pinecone-api-key"]),
        *("--visible-after-s", str(VISIBLE_AFTER_S)),
    ]
    env = {**cloud.environment(), "PYTHONPATH": str(ROOT / "tests")}
    with contextlib.ExitStack() as running:
        with step("vendor servers"):
            log = work / "vendors.log"
            ports = [openai, pinecone]
            running.enter_context(server(command, ports=ports, env=env, log=log, cwd=work))
        yield Vendors(f"http://127.0.0.1:{openai}", f"http://127.0.0.1:{pinecone}")


@pytest.fixture(scope="session")
def codedeploy() -> Iterator[CodeDeploy]:
    """What functions know as CodeDeploy, which the local AWS has none of."""
    with serving(CodeDeploy()) as listening:
        yield listening


@pytest.fixture(scope="session")
def cloud(work: Path, step: Step, codedeploy: CodeDeploy) -> Iterator[stack.Cloud]:
    """The local AWS, with the bucket that a deployment needs and the vendors' keys."""
    local = stack.Cloud(free_port(), work, {"AWS_ENDPOINT_URL_CODEDEPLOY": codedeploy.url})
    with contextlib.ExitStack() as running:
        with step("local AWS"):
            log, env = work / "aws.log", local.server_environment()
            running.enter_context(
                server([str(AWS)], ports=[local.port], env=env, log=log, cwd=work)
            )
            local.client("s3").create_bucket(Bucket=stack.BUCKET)
            secrets = local.client("secretsmanager")
            for name, value in KEYS.items():
                secrets.create_secret(Name=f"steadyrag/{name}", SecretString=value)
        yield local


@pytest.fixture(scope="session")
def shell(work: Path, cloud: stack.Cloud, vendors: Vendors) -> dict[str, str]:
    """What a deployer exports before the project's own commands."""
    return {
        **cloud.environment(),
        "STEADYRAG_EMBEDDER": "openai",
        "STEADYRAG_INDEX": "pinecone",
        "OPENAI_BASE_URL": f"{vendors.openai}/v1",
        "OPENAI_API_KEY": KEYS["openai-api-key"],
        "PINECONE_CONTROLLER_HOST": vendors.pinecone,
        "PINECONE_API_KEY": KEYS["pinecone-api-key"],
        "STEADYRAG_DATA_DIR": str(work / "data"),
    }


@pytest.fixture(scope="session")
def command(work: Path) -> Command:
    """Runs one of the project's own commands and returns what it printed."""

    def steadyrag(*arguments: str, env: Mapping[str, str]) -> str:
        log = work / "cli.log"
        return run([str(CLI), *arguments], env=env, log=log, cwd=work, timeout_s=120)

    return steadyrag


@pytest.fixture(scope="session")
def index_host(step: Step, shell: dict[str, str], command: Command) -> str:
    """An index made and filled with this folder's documents."""
    with step("steadyrag index create"):
        said = command("index", "create", env=shell)
        host = said.partition("STEADYRAG_PINECONE_INDEX_HOST=")[2].split()[0]
    with step("steadyrag ingest"):
        command("ingest", str(DOCUMENTS), env={**shell, "STEADYRAG_PINECONE_INDEX_HOST": host})
    return host


@pytest.fixture(scope="session")
def changes(
    built: Path, cloud: stack.Cloud, step: Step, say: Callable[[str], None]
) -> list[Change]:
    """What adapting the build to the local AWS took."""
    with step("adapt the built template"):
        made = adapt(built, cloud.work / "app", python=LAMBDA_PYTHON)
    for change in made:
        say(f"              {change}")
    return made


@pytest.fixture(scope="session")
def templates() -> Templates:
    """All that could be deployed."""
    return Templates({"PineconeIndexHost": "docs.example.com"})


@pytest.fixture(scope="session")
def app(cloud: stack.Cloud, changes: list[Change]) -> Path:
    """The build, adapted to the local AWS."""
    return cloud.work / "app"


@pytest.fixture(scope="session")
def parameters(index_host: str, vendors: Vendors) -> dict[str, str]:
    """What a deployer would choose: here, the local vendors and this machine's processor."""
    return {
        "PineconeIndexHost": index_host,
        "OpenAiBaseUrl": f"{vendors.openai}/v1",
        "PineconeControllerHost": vendors.pinecone,
        "Architecture": "x86_64",
    }


@pytest.fixture(scope="session")
def deployed(
    cloud: stack.Cloud, app: Path, parameters: dict[str, str], step: Step
) -> stack.Deployed:
    """The stack, deployed into the local AWS."""
    with step("sam deploy"):
        stack.deploy(cloud, SAM, app / "template.json", parameters)
    with step("gateway responses and CORS, by API Gateway's own interface"):
        return stack.complete(cloud)


@pytest.fixture(scope="session")
def anonymous(deployed: stack.Deployed) -> Iterator[httpx.Client]:
    """A caller without a key."""
    with httpx.Client(base_url=deployed.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def caller(deployed: stack.Deployed) -> Iterator[Caller]:
    """Makes callers with the stack's first key, each at an address of its own."""
    addresses = callers.ONE_BY_ONE.hosts()
    with contextlib.ExitStack() as open_clients:

        def make() -> httpx.Client:
            client = callers.one(deployed.url, deployed.api_key, next(addresses))
            return open_clients.enter_context(client)

        yield make


@pytest.fixture(scope="session")
def crowd(deployed: stack.Deployed) -> Iterator[httpx.Client]:
    """Callers without number, whom no limit of one of them stops."""
    with callers.crowd(deployed.url, deployed.api_key) as client:
        yield client


@pytest.fixture(scope="session")
def shelf(crowd: httpx.Client, cloud: stack.Cloud, deployed: stack.Deployed) -> Shelf:
    """The documents of the stack."""
    return Shelf(crowd, cloud.client("s3"), cloud.client("sqs"), deployed.outputs)


@pytest.fixture
def client(caller: Caller) -> httpx.Client:
    """A caller who has not asked anything yet."""
    return caller()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.failed and not item.session.testsfailed:  # the later ones end with the same
        for log in sorted(WORK.glob("*.log")):
            report.sections.append((f"the end of {log.name}", tail(log)))
        if cloud := getattr(item, "funcargs", {}).get("cloud"):
            with contextlib.suppress(Exception):
                report.sections.append(("what the functions logged", logs.recent(cloud)))
    return report
