"""The socket that `steadyrag serve` listens on."""

import asyncio
import socket

from steadyrag.cli.serve import _listen


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
