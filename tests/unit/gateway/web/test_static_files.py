"""The pages of the operator port."""

from __future__ import annotations

import gzip
import subprocess
import sys

from gateway.web import static_files
from tests.paths import PROJECT


def test_no_page_needs_the_internet() -> None:
    """Everything that a page loads comes from this port; nothing is inline, which CSP forbids."""
    for name, file in static_files.read_all().items():
        if "html" in file.content_type:
            page = file.body.decode()
            assert "//" not in page.replace("http://www.w3.org", ""), name
            assert "<style" not in page, name
            assert "<script>" not in page, name


def test_swagger_ui_comes_from_a_package_that_is_not_imported() -> None:
    """Its Python is for Flask's applications."""
    assert static_files.read_all().keys() >= set(static_files.SWAGGER_UI)
    program = (
        "import sys; from gateway.web import static_files; static_files.read_all();"
        "sys.exit('flask_swagger_ui' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True)


def test_a_file_comes_compressed_and_once() -> None:
    """A megabyte of JavaScript for each look at the page would be much over a slow line."""
    file = static_files.read_all()["swagger-ui-bundle.js"]
    body, status, headers = static_files.answer(file, "br, gzip", "")
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert gzip.decompress(body) == file.body
    assert len(body) < len(file.body) / 2
    assert static_files.answer(file, "", "")[0] == file.body
    body, status, headers = static_files.answer(file, "gzip", headers["ETag"])
    assert (body, status, headers["ETag"]) == (b"", 304, file.etag)
    assert static_files.answer(file, "", 'W/"another"')[1] == 200
