"""Pages elsewhere are noticed where a port lets them ask, change or embed something."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from loadtest.attacks import pages
from tests.unit.loadtest.attacks.fake import FakePort, Reply, attacked

FORBIDDING = dict.fromkeys(pages.NEEDED, "no")


class Operator(FakePort):
    """An operator port that looks at the name and at the page that asks, unless told otherwise."""

    def __init__(
        self, *, names: bool = True, sites: bool = True, embeds: bool = False, allows: bool = False
    ) -> None:
        """`embeds`: what may be embedded anywhere; `allows`: other origins' requests."""
        super().__init__()
        self.names, self.sites = names, sites
        self.more = {} if embeds else FORBIDDING
        self.allowing = {"Access-Control-Allow-Origin": "*"} if allows else {}

    def reply(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The answer on both ports."""
        if path in ("/login", "/register"):
            return super().reply(path, headers, body)
        if self.names and headers["host"] != "localhost":
            return 421, self.more, {}
        if headers["method"] == "OPTIONS":
            return 403, {**self.more, **self.allowing}, {}
        if self.sites and "sec-fetch-site" in headers:
            return 403, self.more, {}
        return 200, self.more, {}


@pytest.mark.parametrize("attack", [pages.rebinding, pages.probes, pages.orders])
def test_a_port_that_looks_at_both_holds(attack) -> None:
    """Else the attack shows nothing by what it finds."""
    outcome = attacked(Operator(), attack)
    assert outcome.held, outcome.happened


@pytest.mark.parametrize(
    ("fake", "attack"),
    [
        (Operator(names=False), pages.rebinding),
        (Operator(sites=False), pages.probes),
        (Operator(embeds=True), pages.probes),
        (Operator(sites=False), pages.orders),
        (Operator(allows=True), pages.orders),
    ],
    ids=["any name", "any page reads", "embedded", "any page changes", "other origins"],
)
def test_one_that_does_not_breaks_its_promise(fake: Operator, attack) -> None:
    """Each as a port is that knows nothing of browsers."""
    outcome = attacked(fake, attack)
    assert not outcome.held, outcome.happened
