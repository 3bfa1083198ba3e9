"""The web page of a model: in headless Chromium it computes and draws what charrnn does.

The browser tests are skipped where there is no Chromium.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.data.layouts import PairVocabulary
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import UsageError
from charrnn.export.expressible import GATES
from charrnn.export.quantisation import PRECISIONS, Quantised, quantise, restored
from charrnn.export.web_page import script_json, web_page
from charrnn.inference.model import Model
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.types import Array

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")

LETTERS = "abcdefg \n"
HOSTILE = "</script><script>document.title='taken'</script><!--{{FACTS}}"


def checkpoint(
    cell: str = "gru", layers: int = 1, characters: str = LETTERS, as_bytes: bool = False
) -> Checkpoint:
    """Return a model with random weights of a usual size."""
    V = len(characters)
    config = ModelConfig(V, V, cell=cell, hidden=16, layers=layers)
    parameters = Parameters(config.shapes())
    parameters.vector[...] = np.random.default_rng(7).normal(0, 0.4, parameters.vector.shape)
    record = CorpusRecord("letters", "0" * 64, 9, 0.1, as_bytes=as_bytes)
    return Checkpoint(config, Vocabulary(characters, as_bytes), parameters, record, 0)


def stored(model: Checkpoint, precision: str) -> Quantised:
    """Return the weights of a model in a precision, with losses that were not measured."""
    arrays = {name: quantise(array, precision) for name, array in model.parameters.items()}
    return Quantised(precision, arrays, {"float32": 1.0, precision: 1.0})


def rounded(model: Checkpoint, quantised: Quantised) -> Model:
    """Return the model that the page computes."""
    return Model(replace(model, parameters=restored(model.parameters, quantised.arrays)))


@dataclass
class Page(HTMLParser):
    """What a browser made of a page."""

    found: dict[str, str] = field(default_factory=dict)
    here: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note where the following text is."""
        given = dict(attributes)
        if tag not in ("meta", "input"):
            self.here.append(given.get("id") or tag)
        if "data-probabilities" in given:
            self.found["probabilities"] = given["data-probabilities"] or ""

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        self.here.pop()

    def handle_data(self, data: str) -> None:
        """Keep the text of an element and of those around it."""
        for place in set(self.here):
            self.found[place] = self.found.get(place, "") + data

    @property
    def text(self) -> str:
        """The prompt and the text that was written."""
        return self.found.get("text", "")

    @property
    def probabilities(self) -> Array:
        """Those of the next character, at temperature 1."""
        return np.array(json.loads(self.found["probabilities"]))


@pytest.fixture
def browse(tmp_path: Path) -> Callable[..., Page]:
    """Open a page in Chromium without network, with settings in its address."""

    def opened(page: str, **settings: object) -> Page:
        path = tmp_path / "page.html"
        path.write_text(page, encoding="utf-8")
        done = subprocess.run(
            [
                *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu"),
                *("--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=100000"),
                *(f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"),
                f"{path.as_uri()}#{urlencode(settings).replace('+', '%20')}",
            ],
            capture_output=True,
            timeout=120,
            check=True,
            encoding="utf-8",
        )
        found = Page()
        found.feed(done.stdout)
        return found

    return opened


def draws(seed: int) -> Iterator[float]:
    """Yield the uniform numbers of the page: Marsaglia's xorshift with 32 bits."""
    x = (seed + 1) * 0x9E3779B1 % 2**32 or 1
    for number in range(10**6):
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        if number >= 16:
            yield x / 2**32


def expected(
    model: Model, prompt: str, length: int, temperature: float, seed: int
) -> tuple[str, Array]:
    """Return the text that the page has to write, and the probabilities after it."""

    def softmax(logits: Array) -> Array:
        weights = np.exp((logits - logits.max()).astype(np.float64))
        return np.asarray(weights / weights.sum())

    for character in model.start(prompt):
        logits = model.step(int(character))
    written = []
    uniform = draws(seed)
    for _ in range(length):
        p = softmax(logits / temperature) if temperature else np.eye(len(logits))[logits.argmax()]
        written.append(int(np.searchsorted(np.cumsum(p), next(uniform), side="right")))
        logits = model.step(written[-1])
    return model.vocabulary.decode(written), softmax(logits)


QUICK = {("rnn", 1, "float16"), ("lstm", 2, "int8"), ("gru", 2, "float32"), ("mlstm", 2, "int8")}
COMBINATIONS = [
    pytest.param(*which, marks=[] if which in QUICK else [pytest.mark.slow])
    for which in product(GATES, (1, 2), PRECISIONS)
]


@needs_browser
@pytest.mark.parametrize(("cell", "layers", "precision"), COMBINATIONS)
def test_the_page_draws_from_the_probabilities_of_the_model(
    cell: str, layers: int, precision: str, browse: Callable[..., Page]
) -> None:
    model = checkpoint(cell, layers)
    quantised = stored(model, precision)
    settings: dict[str, Any] = {"prompt": "bad\ncab", "length": 150, "temperature": 0.7, "seed": 5}
    found = browse(web_page(model, quantised, "nothing"), **settings, write="")
    text, p = expected(rounded(model, quantised), **settings)
    assert found.text == "bad\ncab" + text
    np.testing.assert_allclose(found.probabilities, p, rtol=0, atol=1e-5)
    assert p.max() - p.min() > 0.05
    unrounded = expected(Model(model), "bad\ncab" + text, 0, 1, 0)[1]
    np.testing.assert_allclose(found.probabilities, unrounded, rtol=0, atol=0.02)


@needs_browser
def test_a_page_of_bytes_joins_them_to_characters(browse: Callable[..., Page]) -> None:
    characters = "ab\n" + "é→".encode().decode("latin-1")
    model = checkpoint(characters=characters, as_bytes=True)
    quantised = stored(model, "int8")
    settings: dict[str, Any] = {"length": 60, "temperature": 1.0, "seed": 2}
    found = browse(web_page(model, quantised, "nothing"), **settings, prompt="é→", write="")
    prompt = "é→".encode().decode("latin-1")
    text, p = expected(rounded(model, quantised), prompt, **settings)
    whole = text.encode("latin-1").decode("utf-8", "replace").rstrip("\ufffd")
    assert found.text.rstrip("\ufffd") == "é→" + whole
    np.testing.assert_allclose(found.probabilities, p, rtol=0, atol=1e-5)


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"prompt": "bag\tü"}, "The network has never read U+0009 ü: please remove it"),
        ({"length": "0"}, "Characters must be a number from 1 to 100000."),
        ({"length": "many"}, "Characters must be a number from 1 to 100000."),
        ({"seed": "-1"}, "Seed must be a number from 0 to 4294967295."),
        ({"seed": "0.5"}, "Seed must be a number from 0 to 4294967295."),
    ],
)
def test_what_cannot_be_written_is_said(
    settings: dict[str, str], problem: str, browse: Callable[..., Page]
) -> None:
    model = checkpoint()
    found = browse(web_page(model, stored(model, "int8"), "nothing"), **settings, write="")
    assert problem in found.found["problem"]


PRESS = """<script>
const waiting = setInterval(() => {
  if (!element("stop").disabled) return;
  clearInterval(waiting);
  element("length").value = 70;
  element("continue").click();
}, 5);
</script></body>"""


@needs_browser
@pytest.mark.slow
def test_continue_goes_on_where_the_text_ended(browse: Callable[..., Page]) -> None:
    model = checkpoint()
    quantised = stored(model, "int8")
    page = web_page(model, quantised, "nothing").replace("</body>", PRESS)
    found = browse(page, prompt="a", length=50, temperature=1, seed=9, write="")
    text, p = expected(rounded(model, quantised), "a", 120, 1, 9)
    assert found.text == "a" + text
    np.testing.assert_allclose(found.probabilities, p, rtol=0, atol=1e-5)


@needs_browser
@pytest.mark.slow
def test_temperature_0_and_an_empty_prompt_are_those_of_the_command(
    browse: Callable[..., Page],
) -> None:
    model = checkpoint("lstm", 2)
    quantised = stored(model, "float32")
    found = browse(
        web_page(model, quantised, "nothing"), length=80, temperature=0, seed=3, write=""
    )
    assert found.text == "".join(Model(model).generate(length=80, temperature=0))


@needs_browser
@pytest.mark.slow
def test_a_prompt_is_read_in_the_normal_form_of_the_model(browse: Callable[..., Page]) -> None:
    model = checkpoint(characters="abe\u0301\n")
    model = replace(model, corpus=replace(model.corpus, normalise="nfd"))
    quantised = stored(model, "float32")
    found = browse(
        web_page(model, quantised, "nothing"),
        prompt="\u00e9", length=1, temperature=1, seed=0, write="",
    )  # fmt: skip
    text, p = expected(rounded(model, quantised), "e\u0301", 1, 1, 0)
    assert found.text == "\u00e9" + text
    np.testing.assert_allclose(found.probabilities, p, rtol=0, atol=1e-5)


def hostile_page() -> str:
    """Return a page whose corpus, measured text and vocabulary look like HTML."""
    model = checkpoint(characters="".join(dict.fromkeys(HOSTILE)))
    model = replace(model, corpus=replace(model.corpus, name=HOSTILE))
    return web_page(model, stored(model, "int8"), HOSTILE)


def test_names_are_escaped() -> None:
    page = hostile_page()
    assert HOSTILE not in page
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert page.count("&lt;/script&gt;&lt;script&gt;") == 3  # title, heading, figures
    assert script_json(HOSTILE).count("<") == 0
    assert json.loads(script_json(HOSTILE)) == HOSTILE


@needs_browser
@pytest.mark.slow
def test_names_run_nothing_in_a_browser(browse: Callable[..., Page]) -> None:
    found = browse(hostile_page(), prompt="script", length=20, write="")
    assert found.found["title"] == f"{HOSTILE}: a character-level network"
    assert len(found.text) == 26


def test_the_page_asks_for_nothing_outside_of_it() -> None:
    model = checkpoint()
    page = web_page(model, stored(model, "int8"), "nothing")
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|\bsrc=|<link|fetch\(|XMLHttp", page)
    assert "{{" not in page
    assert "<title>letters: a character-level network</title>" in page


def test_the_figures_are_on_the_page() -> None:
    model = checkpoint("lstm")
    quantised = replace(stored(model, "int8"), nats={"float32": 1.23456, "int8": 1.2401})
    page = web_page(model, quantised, "300 characters")
    assert (
        "1 × 16 lstm, 1,817 weights as int8; loss 1.2401 nats per character, 1.2346 without "
        "rounding, on 300 characters. Made by charrnn export."
    ) in page


def test_what_the_page_cannot_compute_is_refused() -> None:
    model = checkpoint()
    pairs = PairVocabulary("many-to-one", ("a", "b"), ("x", "y"), 1)
    with pytest.raises(UsageError, match="was trained on pairs"):
        web_page(replace(model, symbols=pairs), stored(model, "int8"), "nothing")
