"""What holds for every `domain.ledger.Queue`, whatever carries the messages.

A test class inherits from `QueueContract` and provides fixtures: `queue`, which is empty,
`receive`, which returns what is due, and `wait`, which lets seconds pass.
"""

from collections.abc import Awaitable, Callable

from steadyrag.domain.ledger import Letter

type Receive = Callable[[], Awaitable[list[Letter]]]
type Wait = Callable[[float], Awaitable[None]]

BODY = '{"Records": [{"s3": {"object": {"key": "documents/휴가+🧭%2F\\u0000.md"}}}]}\n\t<&>'


class QueueContract:
    async def test_a_message_arrives_as_it_was_sent(self, queue, receive: Receive):
        await queue.send(BODY, attributes={"reason": "임베딩: 느림 <&> \"'", "origin": "ingest"})
        (letter,) = await receive()
        assert letter.body == BODY
        assert letter.receive_count == 1
        assert letter.attributes == {"reason": "임베딩: 느림 <&> \"'", "origin": "ingest"}
        assert letter.id

    async def test_messages_are_told_apart_even_when_they_say_the_same(
        self, queue, receive: Receive
    ):
        for _ in range(3):
            await queue.send("same")
        received: list[Letter] = []
        while len(received) < 3:
            received += await receive()
        assert len({letter.id for letter in received}) == 3
        assert {(letter.body, *letter.attributes) for letter in received} == {("same",)}

    async def test_a_delayed_message_arrives_later(self, queue, receive: Receive, wait: Wait):
        await queue.send("later", delay_s=1)
        await queue.send("now")
        assert [letter.body for letter in await receive()] == ["now"]
        await wait(1.2)
        assert [letter.body for letter in await receive()] == ["later"]

    async def test_a_large_body_arrives_whole(self, queue, receive: Receive):
        body = "휴가" * 39_000
        await queue.send(body, delay_s=0)
        (letter,) = await receive()
        assert letter.body == body

    async def test_a_closed_queue_may_be_closed_again(self, queue):
        await queue.send("a")
        await queue.aclose()
        await queue.aclose()
