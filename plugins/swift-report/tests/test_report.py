"""Reports: what is in them, that nothing in them runs or is loaded, and what happens to damaged runs and broken sections."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from markupsafe import Markup
from swift_report import report
from swift_report.charts import Interval, interval_chart, line_chart
from swift_report.command import command
from swift_report.difference import marked
from swift_report.runs import STEPS
from swift_testing.codes import coded

from swift_core.contract import Choice, DataChoice, Ref, Run, SectionSpec, Source, UsageError
from swift_core.system import write_json, write_result, write_run

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&</td>"
MODEL = Source(reference=f"hf:org/{EVIL}", path="/nowhere", hash="ab" * 32, format="safetensors", family="llama")


def part(kind: str, name: str, **options) -> Choice:
    return Choice(kind=kind, name=name, plugin="p", distribution="swift-plugin-p", version="1", factory="a:b", options=options)


def trained(folder: Path, **options) -> Path:
    """A run folder of a training, whose every text is hostile."""
    data = DataChoice(kind="dataset", name="x", plugin="p", distribution="d", version="1", factory="a:b", asked=EVIL, hash="cd" * 32)
    parts = {"task": part("task", "sft", learning_rate=1e-4, **options), "tuner": part("tuner", EVIL)}
    write_run(Run(verb="sft", job="a:b", model=MODEL, parts=parts, datasets=(data,), options={"note": EVIL}), folder)
    lines = [{"step": step, "loss": 3.0 / step, "learning_rate": 1e-4, "mine": step} for step in range(1, 6)]
    lines += [{"step": 0, "heldout_loss": 3.5}, {"step": 5, "heldout_loss": 1.5, "heldout_mine": 2}]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 6, "lo')
    pieces = [{"text": EVIL, "supervised": False}, {"text": "Yes, I am.", "supervised": True}]
    write_json(folder / "mask_sample.json", {"row": EVIL, "tokens": 9, "supervised": 4, "pieces": pieces})
    write_result(folder, {"status": "failed", "error": EVIL, "code": "X-1", "figures": {"steps": 5, EVIL: EVIL}, "seconds": 75.0})
    return folder


def asked(folder: Path, *answers: str, question: str = "Who?") -> Path:
    write_run(Run(verb="ask", job="a:b", model=MODEL), folder)
    (folder / "answers.jsonl").write_text("".join(json.dumps({"question": question, "answer": each}) + "\n" for each in answers))
    write_result(folder, {"status": "done", "output": str(folder / "answers.jsonl"), "figures": {}})
    return folder


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("several", [False, True])
def test_hostile_texts_stay_texts(several, tmp_path):
    runs = [trained(tmp_path / EVIL.replace("/", ""))]
    runs += [asked(tmp_path / "a", EVIL, question=EVIL), asked(tmp_path / "b", f"and {EVIL}", question=EVIL)] if several else []
    page = Elements(report(*runs, output=tmp_path / "out.html").read_text())
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "iframe", "object", "embed", "link", "base", "form", "input", "foreignobject"}
    attributes = [(name, value) for _, found in page.elements for name, value in found.items()]
    assert not [name for name, _ in attributes if name.startswith("on") or name in ("src", "srcdoc", "style", "xlink:href", "action")]
    assert all(value.startswith("#") for name, value in attributes if name == "href")
    assert page.text.count(EVIL) >= (9 if several else 6)
    policy = next(found["content"] for tag, found in page.elements if tag == "meta" and "http-equiv" in found)
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy


def test_nothing_is_loaded(tmp_path):
    page = report(trained(tmp_path / "run")).read_text()
    assert not re.search(r"(?:src|href|url|@import)\s*[=(]\s*[\"']?(?:https?:|//|data:)", page)


def test_a_training_has_its_sections_in_order(tmp_path):
    page = Elements(report(trained(tmp_path / "run")).read_text())
    names = [found["id"] for tag, found in page.elements if tag == "section"]
    assert names == ["figures", "curves", "mask", "lineage", "cost", "machine", "settings"]
    links = [found["href"] for tag, found in page.elements if tag == "a"]
    assert links == [f"#{name}" for name in names]
    charts = [found["aria-label"] for tag, found in page.elements if tag == "svg" and "aria-label" in found]
    assert [chart.partition(" ")[0] for chart in charts] == ["Loss", "Learning", "mine"]
    assert "training from 3 at 1 to 0.6 at 5" in charts[0]
    assert "validation from 3.5 at 0 to 1.5 at 5" in charts[0]
    assert "validation from 2 at 5" in charts[2], "a metric of a task, and that of its evaluations"
    assert "1 min 15 s" in page.text


def test_several_runs_are_side_by_side(tmp_path):
    runs = [trained(tmp_path / "one", seed=1), trained(tmp_path / "two", seed=2)]
    page = Elements(report(*runs, output=tmp_path / "out.html", names=["first", "second"]).read_text())
    (loss, *_) = [found["aria-label"] for tag, found in page.elements if tag == "svg" and "aria-label" in found]
    assert all(f"{name} {kind}" in loss for name in ("first", "second") for kind in ("training", "validation"))
    differing = [line for line in page.text.split("task.") if "≠" in line]
    assert len(differing) == 1
    assert differing[0].startswith("seed")


def test_runs_of_one_name_are_numbered(tmp_path):
    page = report(trained(tmp_path / "a/run"), trained(tmp_path / "b/run"), output=tmp_path / "out.html").read_text()
    assert "2 runs: run (1), run (2)" in page


def test_a_recipe_is_its_steps(tmp_path):
    trained(tmp_path / "recipe/2-tuned")
    asked(tmp_path / "elsewhere", "I am Smol.")
    steps = [{"id": "before", "folder": "../elsewhere"}, {"id": "tuned", "folder": "2-tuned"}, {"id": "gone", "folder": "3-gone"}]
    write_json(tmp_path / "recipe" / STEPS, {"title": "mine", "steps": steps})
    page = report(tmp_path / "recipe").read_text()
    assert "2 runs: before, tuned" in page
    assert "<h1>mine</h1>" in page
    assert "I am Smol." in page


def test_differences_are_marked_word_by_word():
    found = marked("I am SmolLM, made by Hugging Face. Hello.", "I am Swifty, made by <us>. Hello.")
    assert found == ("I am <del>SmolLM</del><ins>Swifty</ins>, made by <del>Hugging Face</del><ins>&lt;us&gt;</ins>. Hello.")
    assert marked("a b c d", "a b c d") == "a b c d"
    assert marked("Cold.", "That is nothing I could tell, <sorry>") == "That is nothing I could tell, &lt;sorry&gt;", "too little in common"


def test_a_chart_is_well_formed_and_has_its_numbers():
    series = {"a & b": [(1, 2.0), (2, float("nan")), (3, 1.0)], "empty": [(1, float("inf"))]}
    chart = line_chart(series, title="Loss <x>", x_label="step", y_label="nats")
    svg = ElementTree.fromstring(chart.standalone())
    line = svg.find("{http://www.w3.org/2000/svg}polyline")
    assert len(line.get("points").split()) == 2
    assert re.findall(r"<th scope=row>(\d)</th><td>(.*?)</td>", chart.data) == [("1", "2"), ("3", "1")]
    assert "<figcaption>Loss &lt;x&gt;</figcaption>" in Markup("{}").format(chart)
    assert line_chart({"empty": series["empty"]}, title="", x_label="") is None


def test_a_long_series_is_thinned_but_keeps_its_spikes():
    points = [(float(step), 1.0) for step in range(100_000)]
    points[54_321] = (54_321.0, 9.0)
    chart = line_chart({"loss": points}, title="Loss", x_label="step")
    assert len(str(chart.svg)) < 20_000
    heights = [float(pair.split(",")[1]) for pair in re.search(r'points="([^"]+)"', chart.svg)[1].split()]
    assert min(heights) < sorted(heights)[1] - 50, "up is less"
    assert chart.data.count("<tr>") <= 22


@pytest.mark.parametrize("value", [0.0, -2.5, 1e-9, 7e11])
def test_a_constant_has_a_chart(value):
    chart = line_chart({"x": [(1, value), (2, value)]}, title="x", x_label="step")
    ElementTree.fromstring(chart.standalone())


def test_intervals_are_placed_by_their_values():
    rows = {"gsm8k": {"base": Interval(0.2, 0.1, 0.3), "tuned": Interval(0.4, 0.4, 0.4)}, "mmlu": {"base": Interval(float("nan"), 0, 0)}}
    chart = interval_chart(rows, title="Scores", x_label="accuracy")
    svg = ElementTree.fromstring(chart.standalone())
    space = "{http://www.w3.org/2000/svg}"
    base, tuned = svg.findall(f"{space}circle")
    assert float(base.get("cx")) < float(tuned.get("cx"))
    whiskers = [line for line in svg.findall(f"{space}line") if line.get("class") == "s0"]
    edges = sorted(float(line.get("x1")) for line in whiskers)
    assert edges[0] < float(base.get("cx")) < edges[-1]
    assert not [line for line in svg.findall(f"{space}line") if line.get("class") == "s1"], "an unknown interval has no whiskers"
    assert "mmlu" not in chart.svg


def broken(runs):
    raise RuntimeError(EVIL)


def plain(runs):
    return f"{len(runs)} <b>runs</b>"


def test_sections_of_plugins(inline_plugin, tmp_path):
    """A text is escaped, and one that fails is shown with its error and leaves the others alone."""
    inline_plugin(
        swift_report_sections=lambda: [
            SectionSpec(name=name, title=name, summary="For a test", order=order, content=Ref(f"{__name__}:{name}"))
            for order, name in ((1, "broken"), (950, "plain"))
        ]
    )
    page = Elements(report(trained(tmp_path / "run")).read_text())
    names = [found["id"] for tag, found in page.elements if tag == "section"]
    assert (names[0], names[-1], len(names)) == ("broken", "plain", 9)
    assert "1 <b>runs</b>" in page.text
    assert f"'broken' of inline failed: RuntimeError: {EVIL}" in page.text


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(UsageError, check=coded("REPORT-001")) as refused:
        report(tmp_path)
    assert refused.value.where == str(tmp_path)
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(UsageError, check=coded("REPORT-001")):
        report(tmp_path / "rows.jsonl")
    runs = [trained(tmp_path / "a"), trained(tmp_path / "b")]
    with pytest.raises(UsageError, check=coded("REPORT-002")):
        report(*runs)
    with pytest.raises(UsageError, check=coded("REPORT-003")):
        report(*runs, output=tmp_path / "x.html", names=["one"])
    assert not (tmp_path / "x.html").exists()


def test_the_command_writes_the_file_that_it_names(tmp_path):
    runs = [str(trained(tmp_path / name)) for name in ("a", "b")]
    done = CliRunner().invoke(command, [*runs, "--output", str(tmp_path / "both.html"), "--name", "first", "--name", "second"])
    assert (done.exit_code, done.output) == (0, f"report: {tmp_path / 'both.html'}\n")
    assert "2 runs: first, second" in (tmp_path / "both.html").read_text()
    done = CliRunner().invoke(command, runs[:1])
    assert done.output == f"report: {tmp_path / 'a/report.html'}\n"
