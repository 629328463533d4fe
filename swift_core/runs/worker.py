"""The worker process: `python -m swift_core.runs.worker RUN_FOLDER` reads `run.json` and runs its job.

Events go as JSON lines to a duplicate of stdout; fd 1 itself is pointed at stderr first, so that an engine's prints can't corrupt
the channel. A stop is asked for by closing stdin, by SIGTERM, or by a file `stop` in the run folder.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from swift_core.contract import DiskFull, PeerFailed, Ref, Run, Stopped, SwiftError
from swift_core.plugins import local, plugins
from swift_core.runs.events import Report
from swift_core.runs.library_errors import is_lost_connection, is_out_of_memory
from swift_core.runs.local_launcher import CONTROL_PIPE, STOP_FILE
from swift_core.system import disk_error, read_run

ELASTIC = "TORCHELASTIC_RUN_ID"  # set by torch's launcher, which would start again a worker that was stopped, if its code were not 0
_UNHEARD = 15.0  # seconds for a job that was interrupted to clean up
_ORPHANED = 300.0  # seconds for a job to save and end once its parent is dead: nobody is there to end it after that


def main() -> int:
    """Run the job, and return the exit code: 0, 1 (failed), 2 (the user's mistake) or 130 (stopped)."""
    folder = Path(sys.argv[1])
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    report = Report(folder, channel, speaks=os.environ.get("RANK", "0") == "0")
    _pass_warnings_on(report)
    return work(report, _listen_for_stop)


def work(report: Report, listen: Callable[[Report], None] = lambda _: None) -> int:
    """Run the job of the report's folder, report how it ended, and return the exit code. `listen` starts listening for stop requests."""
    folder = report.folder
    try:
        listen(report)
        run = read_run(folder)
        local.use_local_plugins(run.plugins, where=str(folder / "run.json"))
        if run.plugins:
            plugins()  # so that a Ref finds what is in those files
        output, figures = do(run, report)
        report.asked = True  # too late to be interrupted
    except KeyboardInterrupt:
        report.error(Stopped("stopped", code="RUN-010", where=str(folder)))
        return 0 if ELASTIC in os.environ else Stopped.exit_code
    except SwiftError as error:
        if error.__cause__:
            traceback.print_exc()
        report.error(error)
        return 0 if isinstance(error, Stopped) and ELASTIC in os.environ else error.exit_code
    except Exception as error:
        traceback.print_exc()
        report.error(translated(error, folder))
        return 1
    report.result(str(output or ""), figures)
    return 0


def do(run: Run, report: Report) -> tuple[Path | None, dict[str, Any]]:
    """Call the run's job: (run, report) -> (output path or None, figures), or the figures alone."""
    returned = Ref(run.job).load()(run, report)
    output, figures = returned if isinstance(returned, tuple) else (None, returned)
    return output, dict(figures)


def translated(error: Exception, folder: Path) -> SwiftError:
    """Return the error to report: with a remedy if the user can fix it, else with a pointer to the log."""
    translated = disk_error(error, folder)
    if isinstance(translated, DiskFull):
        return translated.with_context(hint="Free some space and go on with --resume; no partial files were left.")
    if isinstance(translated, SwiftError):
        return translated
    if is_out_of_memory(error):
        return SwiftError(
            "out of memory", code="RUN-024", hint="Use a smaller --batch-size or --max-length, --gradient-checkpointing, or --quantizer."
        )
    if is_lost_connection(error):
        hint = "See the log for details; continue a training run with --resume."
        return PeerFailed("the connection to another process of the run broke", code="RUN-025", hint=hint)
    return SwiftError(
        f"{type(error).__name__}: {error}",
        code="RUN-026",
        hint="Internal error of swift or of a plugin; log.txt in the run folder has the traceback.",
    )


class _Noted(logging.Handler):
    """A handler that reports each warning of swift once as a note; warnings of other libraries stay in the log."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self._report = report
        self._reported: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.name.startswith("swift_") and text not in self._reported:
            self._reported.add(text)
            self._report.note(text)


def _pass_warnings_on(report: Report) -> None:
    log = logging.StreamHandler()
    log.setLevel(logging.WARNING)
    for handler in (log, _Noted(report)):
        logging.getLogger().addHandler(handler)


def _listen_for_stop(report: Report) -> None:
    """Pass stop requests to the job; a job that never reads them is interrupted where it is."""
    main = threading.get_ident()
    interrupted = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        report.request_stop()
        if not report.asked and not interrupted:
            interrupted = True
            raise KeyboardInterrupt

    parent = os.getppid()

    def stop() -> None:
        report.request_stop()
        if not report.asked:
            signal.pthread_kill(main, signal.SIGTERM)
            time.sleep(_UNHEARD)
            if not report.asked:  # it is in code that is not Python's
                os._exit(Stopped.exit_code)

    def on_close() -> None:
        with suppress(OSError):
            while os.read(0, 1024):
                pass
        stop()
        time.sleep(_ORPHANED)
        if os.getppid() != parent:
            os._exit(1)

    def on_file() -> None:
        while not (report.folder / STOP_FILE).exists():
            time.sleep(0.5)
        stop()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the parent, which asks for the stop
    if os.environ.get(CONTROL_PIPE) == "1":
        threading.Thread(target=on_close, daemon=True).start()
    threading.Thread(target=on_file, daemon=True).start()


if __name__ == "__main__":
    raise SystemExit(main())
