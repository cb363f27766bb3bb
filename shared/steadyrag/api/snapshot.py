"""What an environment does when Lambda restores it from a SnapStart snapshot."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

THAW_TIMEOUT_S = 3.0
"""Lambda gives up a restore after 10 s, hooks included."""


def on_restore(thaw: Callable[[], Awaitable[None]]) -> None:
    """Has `thaw` run after every restore, on the loop that the invocations run on, and the
    random numbers begin anew: every environment of a version wakes up from one snapshot, with
    the same state. Does nothing outside Lambda's runtime, which brings the hooks."""
    try:
        from snapshot_restore_py import (  # type: ignore[import-not-found,unused-ignore]
            register_after_restore,
        )
    except ImportError:
        return
    register_after_restore(_restored, thaw)


def _restored(thaw: Callable[[], Awaitable[None]]) -> None:
    """Never raises: an error would cost the environment, and what is not dropped here is
    noticed when it is used."""
    random.seed()
    try:
        asyncio.get_event_loop().run_until_complete(asyncio.wait_for(thaw(), THAW_TIMEOUT_S))
    except Exception as error:
        log.warning("thaw incomplete", extra={"reason": type(error).__name__})
