"""Events by the clock. Each instant has an id of its own, so that none is answered twice after a restart."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from swift_plugin_trigger.definition import Schedule
from swift_plugin_trigger.intake import Intake


def due(schedule: Schedule, since: float, now: float) -> float | None:
    """Return the last instant of a schedule after `since` and not after `now` (seconds since 1970); None if there is none.

    What was missed while no process was running is made up for once.
    """
    if schedule.every:
        last = now - now % schedule.every
    else:
        from croniter import croniter

        last = croniter(schedule.cron, datetime.fromtimestamp(now + 1, UTC)).get_prev(float)
    return last if since < last <= now else None


def take_tick(schedule: Schedule, intake: Intake, since: float) -> float:
    """Take the event of the instant that is due, if any; return the time up to which the schedule is done.

    Raises:
        InvalidEvent: the event of the schedule is not valid.
    """
    now = time.time()
    if (instant := due(schedule, since, now)) is not None:
        stamp = datetime.fromtimestamp(instant, UTC).strftime("%Y%m%dT%H%M%SZ")
        body = {**schedule.event, "scheduled": stamp}
        intake.check(body)
        intake.take(body, f"schedule-{stamp}", "schedule")
    return now
