"""What the workers say where they cannot begin."""

from __future__ import annotations

import pytest

from workers.__main__ import _cannot_listen
from workers.supervisor.status import serve


def refusal(host: str, port: int) -> str:
    """What is said of this address."""
    try:
        serve(host, port, lambda: (True, "ok"))
    except OSError as error:
        return _cannot_listen(error, host, port)
    pytest.fail("it listens there")


def test_a_taken_port_is_named_with_its_setting() -> None:
    """The sentence has the variable, the value and the way out."""
    taken = serve("127.0.0.1", 0, lambda: (True, "ok"))
    said = refusal("127.0.0.1", taken.server_port)
    taken.shutdown()
    taken.server_close()
    assert said.startswith(f"CERROJO_WORKERS_PORT is {taken.server_port} ")
    assert said.endswith("Set it to a free port.")


@pytest.mark.parametrize("host", ["203.0.113.7", "2001:db8::7", "no such host"])
def test_an_address_of_elsewhere_is_not_taken_for_a_wrong_port(host: str) -> None:
    """Somebody would try one port after the other."""
    said = refusal(host, 0)
    assert said.startswith(f"CERROJO_WORKERS_HOST is {host!r}, ")
    assert said.endswith("Set it to an address of this machine, as 127.0.0.1.")
