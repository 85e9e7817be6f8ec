"""A short fuzz of the ports and topics of a running system; the long one is `make fuzz`."""

from __future__ import annotations

from tests.acceptance.system import SERVICE_TOKEN, RunningSystem
from tests.fuzz import records, requests
from tests.fuzz.health import Health
from tests.harness.operators import OPERATOR_TOKEN

SEED = 1


def test_no_bytes_at_any_port_end_a_process_or_get_a_500(system: RunningSystem):
    """Valid requests that are broken in a few places, and what is no HTTP at all."""
    health = Health(system)
    urls = {
        "login": system.login_url,
        "operator": system.operator_url,
        "workers": system.workers_url,
    }
    statuses = requests.run(urls, SEED, 1_000, [SERVICE_TOKEN, OPERATOR_TOKEN])
    health.check()
    assert statuses["login 400"]
    assert statuses["operator 200"]
    assert statuses["workers 200"]


def test_no_record_in_any_topic_stops_a_partition(system: RunningSystem, kafka: str):
    """Each is put aside or decided, those that cannot be read are counted, and logins go on."""
    health = Health(system)
    written = records.run(system, kafka, SEED, 400)
    health.check()
    assert written["put aside"]
    assert written["decided"] + written["put aside"] == 320
