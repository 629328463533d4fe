"""A command of `swift` that runs beside the test, forked from the warm process: its streams, signals and end; see `tests.warm`."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.warm import Forked


class ForkedCommand(Forked):
    """`swift WORDS` in `folder`, with what tests use of `subprocess.Popen` with pipes of text."""

    def __init__(self, folder: Path, words: Sequence[str], *, env: Mapping[str, str]) -> None:
        (ours_out, theirs_out), (ours_err, theirs_err) = os.pipe(), os.pipe()
        with Path(os.devnull).open("rb") as nothing:
            super().__init__("swift_core.cli.group", words, (nothing, theirs_out, theirs_err), env=env, cwd=folder, session=False)
        os.close(theirs_out)
        os.close(theirs_err)
        self.out, self.err = os.fdopen(ours_out), os.fdopen(ours_err)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the command has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End the command at once."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; return what is left of stdout and stderr."""
        with ThreadPoolExecutor(2) as pool:
            texts = [pool.submit(stream.read) for stream in (self.out, self.err)]
            self.wait(timeout)
            return texts[0].result(), texts[1].result()
