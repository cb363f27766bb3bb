"""Virtual time, in which drills run."""

import subprocess
import sys

from infra.cloudformation import ROOT

SCRIPT = """
import asyncio, time
real = time.perf_counter()
from drills.virtual_time import Clock, run

async def two_days():
    began = time.time(), time.monotonic()
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(3600))
        slept = group.create_task(asyncio.sleep(2 * 86400, "slept"))
    try:
        async with asyncio.timeout(5):
            await asyncio.Event().wait()
    except TimeoutError:
        pass
    assert await asyncio.to_thread(lambda: "done") == "done"
    assert time.time() - began[0] == time.monotonic() - began[1] == 2 * 86400 + 5
    return slept.result()

print(run(two_days(), Clock(1.8e9)))

async def nobody():
    await asyncio.Event().wait()

try:
    run(nobody(), Clock(1.8e9))
except RuntimeError as error:
    print(error)
assert time.perf_counter() - real < 30 and time.time() > 1.7e9
"""


def test_two_days_pass_at_once_and_a_wait_for_nobody_is_an_error():
    command = [sys.executable, "-c", SCRIPT]
    ran = subprocess.run(
        command, env={"PYTHONPATH": str(ROOT / "tests")}, capture_output=True, text=True, timeout=60
    )
    assert ran.stdout.splitlines() == ["slept", "everybody waits for something that nobody will do"]
    assert ran.returncode == 0, ran.stderr
