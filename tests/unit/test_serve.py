"""The socket that `steadyrag serve` listens on, and what it keeps of what is asked."""

import asyncio
import socket

import pytest

from steadyrag.cli.serve import _kept, _listen
from steadyrag.settings import load


async def test_no_part_of_a_reply_waits_for_the_caller_to_acknowledge_another():
    listener = _listen("127.0.0.1", 0)
    prompt = asyncio.get_running_loop().create_future()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = writer.get_extra_info("socket")
        prompt.set_result(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(connected, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname())
        assert await prompt
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({}, "full"),
        ({"STEADYRAG_HOST": "::1"}, "full"),
        ({"STEADYRAG_LOG_TEXT": "hash"}, "hash"),
        ({"STEADYRAG_HOST": "0.0.0.0"}, "hash"),  # noqa: S104 - nothing listens here
        ({"STEADYRAG_HOST": "10.0.0.7", "STEADYRAG_LOG_TEXT": "truncated"}, "truncated"),
    ],
)
def test_what_is_asked_is_shown_to_the_person_at_this_machine_alone(environment, shown):
    assert _kept(load(environment)) == shown
