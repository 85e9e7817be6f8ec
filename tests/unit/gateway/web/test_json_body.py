"""What is said of a body that does not arrive in time."""

import asyncio
import time

import pytest

from gateway.errors import RequestError, UnavailableError
from gateway.web import json_body
from gateway.web.errors import SlowBodyError


@pytest.mark.parametrize(
    ("seconds", "error"), [(json_body.BODY_SECONDS, SlowBodyError), (6.0, UnavailableError)]
)
def test_a_client_is_not_blamed_for_a_process_that_stood_still(
    seconds: float, error: type[RequestError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen, it sees the time over later than it was, and what has arrived later still."""

    class Late:
        mimetype = "application/json"

        async def whole_body(self) -> bytes:
            monkeypatch.setattr(time, "monotonic", lambda: began + seconds)
            raise TimeoutError

    began = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: began)
    with pytest.raises(error):
        asyncio.run(json_body.read_body(Late()))
