"""What is asked of the ports by the fuzzer."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from quart import Quart

from gateway.web.paths import understand_usernames
from gateway.web.resources import Port, serve_on
from tests.fuzz.requests import PATHS


@pytest.mark.parametrize("port", ["login", "operator"])
def test_every_operation_is_asked(port: Port):
    """By bytes that are broken in a few places."""
    app = Quart("fuzz", static_folder=None)
    understand_usernames(app)
    serve_on(app, port)
    urls = app.url_map.bind("localhost")
    asked = set()
    for line in PATHS[port]:
        method, _, target = line.partition(" ")
        path = urlsplit(target).path
        if urls.test(path, method):
            asked.add(urls.match(path, method)[0])
    assert asked == {rule.endpoint for rule in app.url_map.iter_rules()}
