"""Write a prepared benchmark: convert and check every row, then write the folder."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError, suggestion
from swift_core.system import atomic_folder, check_free, write_json
from swift_evaluate.prepare.folder import RECORD, PreparedBenchmark, read_prepared
from swift_evaluate.prepare.formats import FORMATS, Format, Places
from swift_evaluate.prepare.source import SourceRow, rows, source_files


def prepare(name: str, sources: Sequence[Path], out: Path, *, overwrite: bool = False) -> PreparedBenchmark:
    """Convert local files of a benchmark and write them to the folder `out`.

    Args:
        name: a name in `FORMATS`.
        sources: files in the benchmark's original format, and folders of such files.
        out: the folder to write.
        overwrite: replace the folder if it exists.

    Raises:
        UsageError: the benchmark is unknown, a row is invalid (names the file and the row), an id occurs twice, or the folder exists.
    """
    if name not in FORMATS:
        hint = suggestion(name, list(FORMATS)) or f"Benchmarks: {', '.join(FORMATS)}."
        raise UsageError(f"there is no benchmark '{name}' to prepare", where="NAME", hint=hint, code="EVAL-025")
    check_free(out, overwrite=overwrite)
    form, files = FORMATS[name], source_files(sources)
    places: Places = {}
    first: dict[tuple[str, str], SourceRow] = {}
    left_out: Counter[str] = Counter()
    for file in files:
        place = form.place(file)
        if not place[1]:
            hint = "Name the file SUBJECT_SPLIT.csv or put it into a folder named after its split: test, dev or val."
            raise UsageError("the split of the file is unknown", where=str(file), hint=hint, code="EVAL-026")
        if count := _read(form, file, place, places.setdefault(place, {}), first):
            left_out["/".join(place)] += count
    if not any(split == form.split and found for (_, split), found in places.items()):
        raise UsageError(f"no file has the split '{form.split}', which {name} is evaluated on", where="--from", code="EVAL-027")
    if form.join:
        places = form.join(places)
    with atomic_folder(out, overwrite=overwrite) as folder:
        for (subset, split), found in sorted(places.items()):
            path = folder / subset / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = (json.dumps(row, ensure_ascii=False) for row in found.values())
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        (folder / "README.md").write_text(_card(form, sorted(places)), encoding="utf-8")
        counts = {f"{subset}/{split}": len(found) for (subset, split), found in sorted(places.items())}
        hashes = {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
        write_json(folder / RECORD, {"benchmark": name, "rows": counts, "left_out": left_out, "sources": hashes})
    return read_prepared(out)


def _read(
    form: Format, file: Path, place: tuple[str, str], found: dict[str, dict[str, Any]], first: dict[tuple[str, str], SourceRow]
) -> int:
    """Add the rows of a file to those found; return how many are left out."""
    subset, left_out = place[0], 0
    for row in rows(file, form.columns):
        converted = form.convert(row, subset)
        if converted is None:
            left_out += 1
            continue
        if form.own_id and form.own_id in row.data:
            own = str(row.data[form.own_id])
            key = f"{subset}/{own}" if form.id_per_subset else own
            earlier = first.setdefault((place[1], key), row)
            if earlier is not row:
                raise row.error(f"the {form.own_id} '{own}' occurs twice", f"It is also in {earlier.file}, row {earlier.number}.")
        else:
            digest = hashlib.sha256(json.dumps(converted, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]
            key, copies = digest, 1
            while key in found:
                copies += 1
                key = f"{digest}-{copies}"
        found[key] = {"id": key, **converted}
    return left_out


def _card(form: Format, places: Sequence[tuple[str, str]]) -> str:
    """Return the README.md that tells the `datasets` library where the splits of each subset are."""
    subsets = list(dict.fromkeys(subset for subset, _ in places))
    lines = ["---", "configs:"]
    for subset in subsets:
        lines += [f"- config_name: {json.dumps(subset)}", "  data_files:"]
        for split in (split for each, split in places if each == subset):
            lines += [f"  - split: {split}", f"    path: {json.dumps(f'{subset}/{split}.jsonl')}"]
    for name in form.all_subsets:
        lines += [f"- config_name: {json.dumps(name)}", "  data_files:"]
        for split in sorted({split for _, split in places}):
            lines += [f"  - split: {split}", f"    path: {json.dumps(f'*/{split}.jsonl')}"]
    return "\n".join([*lines, "---", ""])
