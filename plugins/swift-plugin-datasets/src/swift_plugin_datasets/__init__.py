"""File formats, Hugging Face datasets and named demo datasets.

`file` reads json, jsonl, csv, tsv, txt, parquet and arrow files, `hub` reads a dataset of Hugging Face or ModelScope, and the named
datasets are small samples of real data from LLaMA-Factory's source archive on the package index.
"""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import DatasetSpec, Engine, Ref

SWIFT_EXAMPLES = Ref("swift_plugin_datasets.examples:EXAMPLES")
_SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".parquet", ".arrow", ".gz", ".bz2", ".xz", ".zst", ".zstd")

LICENCE = "Apache-2.0 as a whole; the sources of single files are unverified"

# name: (kind of rows, summary)
_DEMOS = {
    "identity": ("chat", "91 questions about the model's identity, answered with the given name and author"),
    "alpaca-en-demo": ("chat", "999 instructions in English"),
    "alpaca-zh-demo": ("chat", "1000 instructions in Chinese"),
    "glaive-toolcall-en-demo": ("chat", "300 conversations with tool calls in English"),
    "glaive-toolcall-zh-demo": ("chat", "300 conversations with tool calls in Chinese"),
    "dpo-en-demo": ("preference", "300 pairs of chosen and rejected answers in English"),
    "dpo-zh-demo": ("preference", "300 pairs of chosen and rejected answers in Chinese"),
    "kto-en-demo": ("label", "300 answers labelled desirable or undesirable in English"),
    "wiki-demo": ("text", "30 encyclopedia articles in English"),
    "c4-demo": ("text", "300 web pages in English"),
}
_ALSO = {"identity": ("swift/self-cognition", "ms:swift/self-cognition", "hf:modelscope/self-cognition", "self-cognition")}  # ms-swift's


@hookimpl
def swift_datasets() -> list[DatasetSpec]:
    """Return `file`, `hub` and the named demo datasets."""
    demos = [
        DatasetSpec(
            name=name,
            also=_ALSO.get(name, (name.replace("-", "_"),)) if "-" in name or name in _ALSO else (),  # LLaMA-Factory's spelling
            summary=summary,
            factory=Ref(f"swift_plugin_datasets.demos:{name.replace('-', '_')}"),
            options=Ref("swift_plugin_datasets.options:IdentityOptions") if name == "identity" else None,
            rows=(kind,),
            origin="llamafactory 0.9.5 on the package index, data/",
            licence=LICENCE,
        )
        for name, (kind, summary) in _DEMOS.items()
    ]
    return [
        DatasetSpec(
            name="file",
            summary="Rows of local files",
            factory=Ref("swift_plugin_datasets.file:FileDataset"),
            options=Ref("swift_plugin_datasets.options:FileOptions"),
            suffixes=_SUFFIXES,
        ),
        DatasetSpec(
            name="hub",
            summary="A dataset of Hugging Face or ModelScope",
            factory=Ref("swift_plugin_datasets.hub:HubDataset"),
            options=Ref("swift_plugin_datasets.options:HubOptions"),
            engines=(Engine(requirements=("datasets>=4",)),),
        ),
        *demos,
    ]
