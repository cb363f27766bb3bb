import io

from steadyrag.progress import progress


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_without_a_terminal_progress_is_lines_with_an_estimate():
    stream, clock = io.StringIO(), Clock()
    with progress("Asking", to=stream, clock=clock) as advance:
        for done in range(1, 5):
            clock.now += 3
            advance(done, 4, "four.md" if done == 4 else "")
    assert stream.getvalue().splitlines() == [
        "Asking…",
        "Asking: 2 of 4, about 6.0 s left",
        "Asking: 4 of 4 (four.md), about 0.0 s left",
        "Asking: 4 in 12 s",
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_progress_is_a_bar_that_counts():
    stream = Terminal()
    with progress("Asking", to=stream) as advance:
        advance(3, 3, "docs/[a].md")
    assert "3/3" in stream.getvalue()
    assert "docs/[a].md" in stream.getvalue()
