from swift_core.environments.lookup import (
    EngineAbsent as EngineAbsent, check_names as check_names, environment_of as environment_of, isolated_entries as isolated_entries,
    python_for as python_for,
)  # fmt: skip
