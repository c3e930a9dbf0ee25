"""The page of docs/demo: its tokens are the C library's, its answers edgebert's, and it is offline.

In Node it is its module that runs, in Chromium all of it.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import edgebert
from edgebert.cli import main
from edgebert.sequence import from_texts
from edgebert.tokenizer import Tokenizer
from edgebert.tsv import read_tsv
from tests.conftest import REPO

BROWSERS = ("chromium", "google-chrome", "chromium-browser")
CHECKPOINT = REPO / "models" / "uno-sst2.pt"
RUNTIME = REPO / "build" / "node_modules" / "onnxruntime-web" / "dist" / "ort.node.min.mjs"
TEXTS = [
    "a gripping film with a wonderful cast",
    "",
    "dull, and far too long.",
    "Ünïcode, 日本語 & unbelievably-long-hyphenated words\n 🎬 ﬁne [MASK] e\u0301",
    "Ǆ İstanbul ǅ ẞ \u202e\x00\t한국어 नमस्ते",
    "x" * 101 + " " + "word " * 300,
]

pytestmark = pytest.mark.filterwarnings("ignore::edgebert.model.TruncationWarning")


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> edgebert.Model:
    """The page's model in the C library."""
    folder = tmp_path_factory.mktemp("native")
    assert main(["export", str(CHECKPOINT), "-o", str(folder), "--to", "ebm"]) == 0
    (path,) = folder.glob("*.ebm")
    return edgebert.load(path)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as docs/demo/build.sh makes it."""
    folder = tmp_path_factory.mktemp("demo")
    assert main(["export", str(CHECKPOINT), "-o", str(folder), "--to", "onnx", "--portable"]) == 0
    (model,) = folder.glob("*.onnx")
    page = folder / "page"
    outcome = subprocess.run(
        [REPO / "docs" / "demo" / "build.sh", model],
        env={**os.environ, "OUT": str(page)},
        capture_output=True,
        text=True,
    )
    if outcome.stderr.startswith("needs "):
        pytest.skip(outcome.stderr.splitlines()[0])
    assert (outcome.returncode, outcome.stderr) == (0, "")
    return page


def in_node(demo: Path, program: str, data: Any) -> Any:
    """What ``print`` is called with in a program that finds the page's module and ``data``."""
    if shutil.which("node") is None:
        pytest.skip("needs Node: apt install nodejs")
    prelude = f"""
import {{ readFileSync }} from "node:fs";
import * as ort from {json.dumps(RUNTIME.as_uri())};
import * as edgebert from {json.dumps((demo / "edgebert.mjs").as_uri())};
const wasm = readFileSync({json.dumps(str(demo / "tokenizer.wasm"))});
const data = JSON.parse(readFileSync(0, "utf8"));
const print = (value) => console.log(JSON.stringify(value));
"""
    outcome = subprocess.run(
        ["node", "--input-type=module", "-e", prelude + program],
        input=json.dumps(data),
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    return json.loads(outcome.stdout)


def tokens_in_node(demo: Path, tokenizer: Tokenizer, texts: list[str], limit: int) -> Any:
    """For each text its tokens and how many were cut off."""
    program = """
const section = Uint8Array.from(Buffer.from(data.section, "base64"));
const tokenizer = await edgebert.Tokenizer.open(wasm, section, data.limit);
print(data.texts.map((text) => {
  const { tokens, dropped } = tokenizer.sequence(text);
  return [tokens.map((token) => Buffer.from(token).toString()), dropped];
}));
"""
    section = base64.b64encode(tokenizer.blob).decode()
    return in_node(demo, program, {"section": section, "limit": limit, "texts": texts})


def tokens_in_c(tokenizer: Tokenizer, texts: list[str], limit: int) -> list[list[Any]]:
    sequences = from_texts(tokenizer, texts, limit)
    result = []
    for data, ends, dropped in zip(
        sequences.bytes, sequences.ends, sequences.num_dropped, strict=True
    ):
        starts = [0, *ends[:-1]]
        tokens = [bytes(data[a:b]).decode() for a, b in zip(starts, ends, strict=True)]
        result.append([tokens, dropped])
    return result


@pytest.mark.parametrize("kind", ["wordpiece", "word"])
@pytest.mark.parametrize("limit", [2, 3, 128])
def test_tokens_are_those_of_the_c_library(kind: str, limit: int, demo: Path) -> None:
    tokenizer = Tokenizer.word() if kind == "word" else Tokenizer.wordpiece()
    texts = [*TEXTS, "a" * 100_000, "é ü " * 20_000, *TEXTS]  # memory grows in between
    expected = tokens_in_c(tokenizer, texts, limit)
    assert tokens_in_node(demo, tokenizer, texts, limit) == expected


def test_tokens_of_real_texts_are_those_of_the_c_library(demo: Path, shared_data: Path) -> None:
    texts = [
        line
        for path in sorted(shared_data.glob("*/dev*.tsv"))
        for line in path.read_text("utf-8").splitlines()[:2000]
    ]
    assert len(texts) > 800
    tokenizer = edgebert.load().tokenizer
    assert tokens_in_node(demo, tokenizer, texts, 128) == tokens_in_c(tokenizer, texts, 128)


def test_a_damaged_tokenizer_is_an_error(demo: Path) -> None:
    program = """
const open = edgebert.Tokenizer.open(wasm, new Uint8Array(data.size).fill(7), 8);
print(await open.then(() => "opened", (error) => error.message));
"""
    for size in (0, 11, 12, 5000):
        message = in_node(demo, program, {"size": size})
        assert message == "the tokenizer of this file is damaged"


CLASSIFY = """
const model = new Uint8Array(readFileSync(data.model));
const classifier = await edgebert.Classifier.open(ort, model.subarray(0, data.size), wasm);
const results = [];
for (const text of data.texts) results.push(await classifier.classify(text));
print(results);
"""


def test_the_module_answers_in_node_as_edgebert_does(demo: Path, native: edgebert.Model) -> None:
    data = {"model": str(demo / "model.onnx"), "texts": TEXTS}
    for actual, expected in zip(in_node(demo, CLASSIFY, data), native.infer(TEXTS), strict=True):
        assert actual["values"] == pytest.approx(expected.probabilities, abs=1e-4)
        assert actual["dropped"] == expected.num_dropped


def test_the_module_answers_on_sst2_dev_as_edgebert_does(
    demo: Path, native: edgebert.Model, shared_data: Path
) -> None:
    dev = read_tsv(shared_data / "sst2" / "dev.tsv")
    results = in_node(demo, CLASSIFY, {"model": str(demo / "model.onnx"), "texts": dev.texts})
    for actual, expected in zip(results, native.infer(dev.texts), strict=True):
        assert actual["values"] == pytest.approx(expected.probabilities, abs=1e-4)
    assert len(results) == 872


@pytest.mark.parametrize(
    ("file", "size", "message"),
    [
        ("standard", None, "edgebert export --to onnx --portable"),
        ("model.onnx", 1000, "not an .onnx file, or damaged"),
        ("index.html", None, "not an .onnx file, or damaged"),
        ("model.onnx", 0, "not written by edgebert"),
    ],
)
def test_other_files_are_refused_with_a_reason(
    file: str, size: int | None, message: str, demo: Path, tmp_path: Path
) -> None:
    path = demo / file
    if file == "standard":
        assert main(["export", str(CHECKPOINT), "-o", str(tmp_path), "--to", "onnx"]) == 0
        (path,) = tmp_path.glob("*.onnx")
    program = f"try {{ {CLASSIFY} }} catch (error) {{ print(error.message); }}"
    data: dict[str, Any] = {"model": str(path), "texts": []}
    assert message in in_node(demo, program, data if size is None else {**data, "size": size})


# Types each text into the page, which it shows in a frame, and sends back what the page then shows.
DRIVER = """<!doctype html><iframe src="/index.html"></iframe><script type="module">
const frame = document.querySelector("iframe");
const until = async (isDone) => {
  while (!isDone()) await new Promise((resume) => setTimeout(resume, 10));
};
const find = (query) => [...frame.contentDocument.querySelectorAll(query)];
await until(() => find("#bars").length && frame.contentDocument.readyState === "complete");
const [text] = find("#text"), [bars] = find("#bars"), answers = [];
for (const typed of await (await fetch("/texts")).json()) {
  text.value = typed;
  text.dispatchEvent(new Event("input"));
  await until(() => bars.dataset.text === typed || find(".error").length);
  answers.push({
    status: find("#status")[0].textContent,
    values: Object.fromEntries(find("#bars li").map((row) =>
      [row.firstChild.textContent, Number(row.querySelector("output").dataset.value)])),
    tokens: find("#tokens li").map((token) => token.textContent),
    count: find("#count")[0].textContent,
  });
}
const loaded = frame.contentWindow.performance.getEntriesByType("resource");
const body = JSON.stringify({ answers, loaded: loaded.map((entry) => entry.name) });
await fetch("/answers", { method: "POST", body });
</script>"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the page, the driver and the texts, and takes the answers."""

    server: Server

    def do_GET(self) -> None:
        extra = {"/driver.html": DRIVER, "/texts": json.dumps(self.server.texts)}
        if self.path not in extra:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(extra[self.path].encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answers = json.loads(body)
        self.send_response(204)
        self.end_headers()
        self.server.is_done.set()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


class Server(http.server.ThreadingHTTPServer):
    """On a free port of this machine."""

    def __init__(self, folder: Path, texts: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.texts = texts
        self.answers: dict[str, Any] = {}
        self.is_done = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server(demo: Path) -> Iterator[Server]:
    with Server(demo, TEXTS) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_the_page_answers_in_a_browser_as_edgebert_does(
    server: Server, native: edgebert.Model, tmp_path: Path
) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("needs a browser: apt install chromium")
    process = subprocess.Popen(
        [
            browser,
            "--headless=new",
            "--no-sandbox",  # which root, as in containers, cannot have
            "--disable-gpu",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # offline
            f"--user-data-dir={tmp_path}",
            f"{server.address}/driver.html",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert server.is_done.wait(120), "the page did not answer within 2 minutes"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    expected = native.infer(TEXTS)
    tokens = tokens_in_c(native.tokenizer, TEXTS, native.max_tokens)
    for answer, result, (pieces, dropped) in zip(
        server.answers["answers"], expected, tokens, strict=True
    ):
        assert answer["status"] == ""
        assert answer["values"] == pytest.approx(result.probabilities, abs=1e-4)
        assert answer["tokens"] == pieces
        assert answer["count"].startswith(f"{len(pieces)} tokens")
        assert (f"{dropped} more were cut off" in answer["count"]) == (dropped > 0)
    loaded = server.answers["loaded"]
    assert any(name.endswith("/model.onnx") for name in loaded)
    assert [name for name in loaded if not name.startswith(server.address)] == []
