"""The page in a real browser (Debian's chromium): a run from the form to its curves, and pictures of every page in both themes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from swift_plugin_web.drawing import PAGES
from swift_testing.rig import write_tiny_model
from swift_train.testing import ragged_chats, write_rows

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = os.environ.get("WEB_PICTURES", "")  # a folder for them; variables of SWIFT_ are the tests' own
LANE = pytest.mark.full("web")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
UNNAMED = (
    "[...document.querySelectorAll('input:not([type=hidden]),select,textarea')]"
    ".filter(each => !each.labels.length && !each.ariaLabel).length"
)
SIZES = {"light": (1280, 900), "dark": (1280, 900), "phone": (390, 844)}


class Page:
    """`swift web` as a process."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "swift_core.cli", "web", "--port", "0"], cwd=folder, stdout=subprocess.PIPE, text=True
        )
        self.url = re.search(r"page: (\S+)", self.process.stdout.readline())[1]

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, request):
    """A folder with rows and a model: the real one in the lane."""
    folder = tmp_path_factory.mktemp("web")
    if request.config.getoption("--lane"):
        shutil.copytree(request.getfixturevalue("smollm2"), folder / "model")
    else:
        write_tiny_model(folder / "model")
    write_rows(folder / "rows.jsonl", ragged_chats(40))
    return folder


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def page(folder):
    page = Page(folder)
    yield page
    page.end()


def wait_for(done, seconds=240):
    end = time.time() + seconds
    while not (found := done()):
        assert time.time() < end
        time.sleep(1)
    return found


@pytest.mark.slow
def test_the_form_follows_what_is_typed(browser, folder, page):
    """The short form of the lane: from the printed address to a checked form, without a run."""
    context, errors = browser.new_context(), []
    tab = context.new_page()
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.goto(page.url)
    assert "token" not in tab.url
    tab.goto(tab.url.partition("/data")[0] + "/merge")
    tab.fill("[name=model]", "nowhere")
    tab.wait_for_selector(".field.bad[data-path=model]", timeout=60_000)
    tab.fill("[name=model]", "model")
    tab.wait_for_selector("#command:has-text('--model model')", timeout=60_000)
    assert not errors
    context.close()


@LANE
def test_from_the_data_to_a_merged_model(browser, folder, page):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    errors, hosts = [], set()
    tab = context.new_page()
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    tab.goto(page.url)
    assert "token" not in tab.url
    tab.goto(tab.url.partition("/data")[0] + "/data?set=rows.jsonl")
    assert "Because." in tab.content()
    base = tab.url.partition("/data")[0]
    tab.goto(f"{base}/train")
    tab.fill("[name=model]", "model")
    tab.fill("[name=dataset]", "rows.jsonl")
    tab.fill("[name=max_steps]", "20")
    tab.fill("[name=learning_rate]", "-1")
    tab.wait_for_selector(".field.bad", timeout=60_000)
    tab.fill("[name=learning_rate]", "0.001")
    tab.wait_for_selector("#command:has-text('0.001')", timeout=60_000)  # a function to wait for would be inline code, which is refused
    tab.wait_for_selector("#faults .note", timeout=60_000)
    assert not tab.query_selector(".field.bad")
    assert "peak" in tab.inner_text("#plan")
    picture(tab, "train", "filled")
    tab.click("#start")
    tab.wait_for_url("**/runs")
    run = wait_for(lambda: next((path.parent for path in folder.glob("runs/*-sft-*/metrics.jsonl")), None))
    page.end()  # in the middle
    page.__init__(folder)
    again = context.new_page()
    again.goto(page.url)
    base = again.url.partition("/data")[0]
    again.goto(f"{base}/runs/{run.name}")
    again.wait_for_selector("svg polyline", timeout=120_000)
    wait_for((run / "result.json").exists)
    again.wait_for_selector("#live:not([data-live]) .status.done", timeout=60_000)  # the page follows by itself
    picture(again, "run", "done")
    again.goto(f"{base}/merge?model=model&adapter={run / 'output'}")
    again.wait_for_selector("#faults .note", timeout=60_000)
    again.click("#start")
    merged = wait_for(lambda: next(iter(folder.glob("runs/*-merge-*/result.json")), None))
    assert json.loads(merged.read_text())["status"] == "done"
    served_and_asked(again, base, folder, merged.parent / "output")
    assert all(host.startswith("127.0.0.1:") for host in hosts)
    assert not [text for text in errors if "Content Security Policy" in text], errors
    context.close()


def served_and_asked(tab, base, folder, model):
    """Serve a model, ask it alone and beside itself, rate the answers, stop the server: all by clicks."""
    tab.goto(f"{base}/serve?model={model}")
    tab.fill("[name=port]", "0")
    tab.wait_for_selector("#faults .note", timeout=60_000)
    tab.click("#start")
    run = wait_for(
        lambda: next((path.parent for path in folder.glob("runs/*-serve-*/events.jsonl") if '"ready"' in path.read_text()), None)
    )
    tab.goto(f"{base}/runs/{run.name}")
    tab.click("#live a:has-text('Chat')")
    tab.fill("[name=system]", "Be short.")
    tab.fill("[name=max_tokens]", "12")
    tab.fill("[name=message]", "Hello?")
    tab.keyboard.press("Control+Enter")
    tab.wait_for_selector("#left .said.assistant:not(:empty)", timeout=120_000)
    assert not tab.query_selector("#right .said")
    tab.click("#clear")
    tab.select_option("[name=right]", index=1)
    tab.fill("[name=message]", "And you?")
    tab.click("button:has-text('Send')")
    tab.wait_for_selector("#rating:not([hidden])", timeout=120_000)
    assert tab.inner_text("#left .said.user") == tab.inner_text("#right .said.user") == "And you?"
    assert all(tab.inner_text(f"#{side} .said.assistant").strip() for side in ("left", "right"))
    picture(tab, "chat", "asked")
    tab.click("[data-better=right]")
    tab.wait_for_selector("#rated:has-text('ratings.jsonl')", timeout=60_000)
    (row,) = [json.loads(line) for line in (folder / "ratings.jsonl").read_text().splitlines()]
    assert row["prompt"][-1]["content"] == "And you?"
    assert row["chosen"][0]["content"].split() == tab.inner_text("#right .said.assistant").split()
    tab.goto(f"{base}/runs/{run.name}")
    tab.click("button:has-text('Stop')")
    wait_for((run / "result.json").exists)
    tab.goto(f"{base}/chat")
    assert not tab.query_selector("[name=left]"), "its server has ended"


@LANE
@pytest.mark.parametrize("kind", SIZES)
def test_every_page_as_it_looks(browser, page, kind):
    width, height = SIZES[kind]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark" if kind == "dark" else "light")
    tab = context.new_page()
    tab.goto(page.url)
    base = tab.url.partition("/data")[0]
    for name in PAGES:
        tab.goto(f"{base}/{name}", timeout=120_000)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), f"{name} is wider than the screen"
        assert not tab.evaluate(UNNAMED), f"{name}: fields without a name for screen readers"
        picture(tab, name, kind)
    context.close()


def picture(tab, name, kind):
    if PICTURES:
        tab.screenshot(path=f"{PICTURES}/{name}-{kind}.png")
