from swift_core.runs.context import Context as Context, carry_out as carry_out, execute_run as execute_run
from swift_core.runs.draft import Draft as Draft
from swift_core.runs.events import EVENTS as EVENTS, Report as Report, parse_event as parse_event, read_events as read_events
from swift_core.runs.execution import conclude as conclude, error_of as error_of, running_server as running_server
from swift_core.runs.launch_variables import set_option as set_option, variable_number as variable_number
from swift_core.runs.local_launcher import (
    CONTROL_PIPE as CONTROL_PIPE, STOP_FILE as STOP_FILE, STOPPED as STOPPED, STOPPING as STOPPING, LocalLauncher as LocalLauncher,
    WorkerCommand as WorkerCommand, free_port as free_port, watch_processes as watch_processes,
)  # fmt: skip
from swift_core.runs.provenance import maker_of as maker_of, recorded_loader as recorded_loader
from swift_core.runs.resolution import Resolved as Resolved, check_options as check_options, resolve as resolve
