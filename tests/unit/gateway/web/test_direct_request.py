"""What a request without Quart leaves behind."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any, cast

from hypercorn.typing import HTTPScope

from gateway.web.direct_request import DirectRequest


class Silent:
    """A client that says nothing more."""

    async def __call__(self) -> Any:
        """Wait for what does not come."""
        await asyncio.get_running_loop().create_future()


def test_a_request_whose_client_was_watched_leaves_no_cycle() -> None:
    """The garbage collector took a tenth of a busy process, in pauses of up to 100 ms."""

    async def watched() -> weakref.ref[Silent]:
        loop, receive = asyncio.get_running_loop(), Silent()
        request = DirectRequest(loop, cast(HTTPScope, {}), receive, 1.0)
        gone = request.gone()
        await asyncio.sleep(0)
        request.ended()
        await asyncio.wait((gone,))
        return weakref.ref(receive)

    gc.disable()
    try:
        assert asyncio.run(watched())() is None
    finally:
        gc.enable()
