from swift_core.environments.inspect import Inside as Inside, ask as ask, look as look
from swift_core.environments.isolated import (
    engine_distribution as engine_distribution,
    isolated_entries as isolated_entries,
    isolated_entry as isolated_entry,
)
from swift_core.environments.lookup import (
    EngineAbsent as EngineAbsent,
    check_names as check_names,
    environment_of as environment_of,
    python_for as python_for,
)
from swift_core.environments.variables import (
    CLEARED as CLEARED,
    cleared_variables as cleared_variables,
    interpreter_variables as interpreter_variables,
)
