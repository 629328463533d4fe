from swift_core.system.failure_site import failure_site_of as failure_site_of
from swift_core.system.file_lock import locked as locked
from swift_core.system.formatting import format_value as format_value
from swift_core.system.hashes import remember_sha256 as remember_sha256, sha256_of as sha256_of
from swift_core.system.interrupts import forget as forget
from swift_core.system.network import offline_if as offline_if
from swift_core.system.paths import (
    atomic_folder as atomic_folder, cache_dir as cache_dir, check_free as check_free, digest as digest,
    disk_error as disk_error, disk_errors as disk_errors, make_folder as make_folder, sha256 as sha256, size_of as size_of,
    write_json as write_json, write_text as write_text,
)  # fmt: skip
from swift_core.system.run_folder import (
    fingerprint as fingerprint, made_by as made_by, new_folder as new_folder, output_path as output_path, read_result as read_result,
    read_run as read_run, write_result as write_result, write_run as write_run,
)  # fmt: skip
