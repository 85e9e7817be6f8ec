"""A page of docs/ whose code runs: each block of it, as a reader would run it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from local import tcp_ports
from tests.harness.waiting import NOT_HEARD
from tests.paths import PROJECT

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"(?:# (?:at the end of )?|<!-- )([\w/]+\.\w+)(?: -->)?\n")
IN_FILES = ("python", "nginx", "html")

PORT = "8000"
"""In the pages; a free one when they run."""

PATIENCE_SECONDS = 60.0

_PATIENT = {
    'os.environ["CERROJO_TOKEN"])': 'os.environ["CERROJO_TOKEN"], deadline=30.0)',
    'app.config["CERROJO_TOKEN"] =': (
        'app.config["CERROJO_DEADLINE_SECONDS"] = 30\napp.config["CERROJO_TOKEN"] ='
    ),
    "CERROJO_ON_UNDECIDED =": "CERROJO_DEADLINE_SECONDS = 30\nCERROJO_ON_UNDECIDED =",
}
"""A busy machine is not what a test is about."""


class Block(NamedTuple):
    """A block of code, with its language: python, sh, or that of an output."""

    language: str
    text: str


def blocks(name: str) -> list[Block]:
    """Those of a page, in its order."""
    return [Block(*found) for found in BLOCK.findall((PROJECT / "docs" / name).read_text())]


def make_venv(folder: Path) -> None:
    """Let `.venv/bin/python` and `cerrojo` in this folder be of what runs the tests."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, command in (("python", ""), ("cerrojo", "-m cerrojo ")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command}"$@"\n')
        program.chmod(0o700)


class Page:
    """Runs a page's blocks in a folder, and knows which it has not run."""

    def __init__(
        self,
        name: str,
        folder: Path,
        env: Mapping[str, str],
        replace: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`replace` has what stands for another text of the page, besides its port."""
        self.blocks = blocks(name)
        self.folder = folder
        self.env = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join(
                [str(PROJECT / "clients" / "python"), os.environ.get("PYTHONPATH", "")]
            ),
            "PYTHONDONTWRITEBYTECODE": "1",
            # What the page installs is there; that it could be installed is tried all the same.
            **{"PIP_DRY_RUN": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"},
            "CERROJO": str(PROJECT),
            **env,
        }
        self.port = str(tcp_ports.choose("127.0.0.1"))
        self._replace = {PORT: self.port, **replace}
        self._left = list(self.blocks)

    @property
    def url(self) -> str:
        """Of what `serve` runs."""
        return f"http://127.0.0.1:{self.port}"

    def not_run(self) -> list[Block]:
        """The blocks that nothing has used yet."""
        return self._left

    def write_files(self) -> None:
        """Each block of a file goes into that which its first line names, or to its end."""
        for block in [block for block in self._left if block.language in IN_FILES]:
            named = FILE.match(block.text)
            assert named, f"the first line does not name a file:\n{block.text}"
            self._left.remove(block)
            text = self._replaced(block)
            for said, patient in _PATIENT.items():
                text = text.replace(said, patient)
            path = self.folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a" if "at the end of" in named[0] else "w") as file:
                file.write(text)

    def run(self, containing: str) -> str:
        """The output of the first commands that have this text and were not run yet.

        If the page shows their output, it is that.
        """
        block, shown = self._take(containing)
        while NOT_HEARD in (done := self._run(block)).stdout:
            pass
        assert done.returncode == 0, done.stdout + done.stderr
        if shown is not None:
            assert done.stdout.strip() == shown.text.strip(), done.stdout
        return done.stdout

    def _run(self, block: Block) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euc", self._replaced(block)],  # noqa: S607  # whichever there is
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )

    @contextmanager
    def serve(self, containing: str, **env: str) -> Iterator[str]:
        """The URL of a server that these commands run, until the end of the context."""
        block, _ = self._take(containing)
        with self.serving(self._replaced(block), **env) as url:
            yield url

    @contextmanager
    def serving(self, command: str, **env: str) -> Iterator[str]:
        """The same with a command that is not the page's."""
        with (self.folder / "server.log").open("ab") as log:
            server = subprocess.Popen(
                ["bash", "-euc", command],  # noqa: S607  # whichever there is
                cwd=self.folder,
                env={**self.env, **env},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_for(server)
            yield self.url
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()

    def _wait_for(self, server: subprocess.Popen[bytes]) -> None:
        """Return when it accepts connections."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", int(self.port)), 1.0).close()
                return
            except OSError:
                log = (self.folder / "server.log").read_text()
                assert server.poll() is None, log
                assert time.monotonic() < until, log
                time.sleep(0.05)

    def _take(self, containing: str) -> tuple[Block, Block | None]:
        """These commands, and the output that the page shows for them."""
        block = next(b for b in self._left if b.language == "sh" and containing in b.text)
        self._left.remove(block)
        place = next(number for number, other in enumerate(self.blocks) if other is block)
        after = self.blocks[place + 1] if place + 1 < len(self.blocks) else None
        if after is None or after.language in (*IN_FILES, "sh"):
            return block, None
        self._left = [other for other in self._left if other is not after]
        return block, after

    def _replaced(self, block: Block) -> str:
        text = block.text
        for said, meant in self._replace.items():
            text = text.replace(said, meant)
        return text
