"""Both vendors in a process of their own, until SIGTERM or Ctrl-C.

Prints one line of JSON with their addresses once they listen; port 0 means a free one.
"""

import argparse
import asyncio
import json
import signal

from vendors.openai import OpenAIVendor
from vendors.pinecone import PineconeVendor
from vendors.server import start


async def serve(arguments: argparse.Namespace) -> None:
    openai = OpenAIVendor(api_key=arguments.openai_key)
    pinecone = PineconeVendor(
        api_key=arguments.pinecone_key, visible_after_s=arguments.visible_after_s
    )
    servers = [
        await start(openai, arguments.openai_port),
        await start(pinecone, arguments.pinecone_port),
    ]
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    print(json.dumps({"openai": openai.base_url, "pinecone": pinecone.url}), flush=True)
    await stopped.wait()
    for server in servers:
        server.close()
        server.abort_clients()


def main() -> None:
    parser = argparse.ArgumentParser(prog="vendors", description=__doc__)
    parser.add_argument("--openai-port", type=int, default=0)
    parser.add_argument("--pinecone-port", type=int, default=0)
    parser.add_argument("--openai-key", default="sk-local-openai")
    parser.add_argument("--pinecone-key", default="pc-local")
    parser.add_argument("--visible-after-s", type=float, default=1.0)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
