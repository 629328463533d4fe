from swift_core.options.common import (
    AdapterOptions as AdapterOptions, EngineOptions as EngineOptions, FamilyOptions as FamilyOptions, HubOptions as HubOptions,
    ModelOptions as ModelOptions, RunOptions as RunOptions,
)  # fmt: skip
from swift_core.options.flags import Flag as Flag, flags_for as flags_for
from swift_core.options.foreign_keys import adopt as adopt
from swift_core.options.keywords import settings_of as settings_of
from swift_core.options.model import (
    Invalid as Invalid, Names as Names, Options as Options, Several as Several, names as names, option as option,
)  # fmt: skip
from swift_core.options.settings import FALSE as FALSE, TRUE as TRUE, listed as listed, normalise as normalise, read_yaml as read_yaml
