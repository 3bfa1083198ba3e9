"""The page of `charrnn report` in a real browser: an installed Chromium, driven by Playwright."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import call

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

PHONE, SCREEN = {"width": 360, "height": 740}, {"width": 1100, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless browser; without an installed one the tests are skipped."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser is installed: {', '.join(BROWSERS)}")
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium has none for root
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def reports(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of a model of texts and of a model of pairs, by name."""
    place = tmp_path_factory.mktemp("pages")
    labels = [f"{'ab'[n % 2] * (1 + n % 7)}{n}\ta long label {n % 2}\n" for n in range(80)]
    (place / "p.tsv").write_text("".join(labels), encoding="utf-8")
    small = ("--hidden", "8", "--steps", "30", "--workers", "1", "--quiet", "--backend", "numpy")
    words = ("train", place / "p.tsv", "--layout", "many-to-one", *small, "--out", place / "pairs")
    assert call(*words).exit_code == 0
    found = {"text": place / "text.html", "pairs": place / "pairs.html"}
    for name, run in (("text", finished_run), ("pairs", place / "pairs")):
        assert call("report", run, "--out", found[name], "--quiet").exit_code == 0
    return found


def opened(browser: Any, path: Path, **settings: Any) -> tuple[Any, list[str]]:
    """Open a page; return it, and the list of what goes wrong on it."""
    page = browser.new_context(**settings).new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    page.on("request", lambda one: None if one.url == path.as_uri() else wrong.append(one.url))
    page.goto(path.as_uri())
    return page, wrong


def background(page: Any, selector: str) -> str:
    return str(
        page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).backgroundColor")
    )


@pytest.mark.parametrize("name", ["text", "pairs"])
@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, SCREEN])
def test_no_page_scrolls_sideways_asks_for_anything_or_fails(
    name: str,
    script: bool,
    scheme: str,
    size: dict[str, int],
    browser: Any,
    reports: dict[str, Path],
) -> None:
    settings = {"viewport": size, "color_scheme": scheme, "java_script_enabled": script}
    page, wrong = opened(browser, reports[name], **settings)
    # `evaluate` works without JavaScript too: only the scripts of the page do not run
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    light = background(page, "body") == "rgb(255, 255, 255)"
    assert light == (scheme == "light")
    shown = page.locator(".chart svg:visible[role=img]")
    assert shown.count() == 2
    assert page.locator("section h2:visible").count() >= 6
    if name == "text":
        assert page.locator(".controls").is_visible() == script
        assert page.locator(".without-script").is_visible() != script
    assert not wrong
    page.context.close()


@pytest.fixture
def text_page(browser: Any, reports: dict[str, Path]) -> Iterator[Any]:
    page, wrong = opened(browser, reports["text"], viewport=SCREEN)
    yield page
    assert not wrong
    page.context.close()


def test_the_pointer_shows_the_likeliest_and_the_activity_of_a_unit(text_page: Any) -> None:
    glyph = text_page.locator(".coloured > span").nth(7)
    title = text_page.evaluate("document.querySelectorAll('.coloured > span')[7].title")
    assert title == "", "two tooltips would lie over each other"
    glyph.hover()
    detail = text_page.locator(".detail")
    assert f"Character: {glyph.inner_text().strip() or '␣'}" in detail.inner_text()
    items = detail.locator("li")
    assert items.count() == 5
    shares = [float(text.split("%")[0].split()[-1]) for text in items.all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 100.3
    assert detail.locator(".activity").inner_text().startswith("unit 0: ")
    text_page.locator(".coloured > span").nth(8).hover()
    assert text_page.locator(".coloured .at").count() == 1


def test_a_unit_colours_the_text_by_its_activity(text_page: Any) -> None:
    text_page.locator("input.unit").fill("3")
    colours = text_page.evaluate(
        "Array.from(document.querySelectorAll('.coloured > span'), s => s.style.background)"
    )
    assert all("var(--negative)" in colour or "var(--positive)" in colour for colour in colours)
    assert len(set(colours)) > 10
    glyph = text_page.locator(".coloured > span").nth(5)
    glyph.click()
    value = float(text_page.locator(".activity").inner_text().removeprefix("unit 3: "))
    sign = "--negative" if value < 0 else "--positive"
    assert f"var({sign})" in colours[5]
    assert float(colours[5].split("/")[1].rstrip(") ")) == pytest.approx(
        0.75 * abs(value), abs=0.01
    )
    assert not text_page.locator(".legend").is_visible()
    text_page.locator("select.colour-by").select_option("bits")
    assert glyph.get_attribute("style") in (None, "", "background: ;")
    assert text_page.locator(".legend").is_visible()
    text_page.locator("input.unit").fill("999")  # no such unit: nothing changes
    assert text_page.locator("select.colour-by").input_value() == "bits"


def test_a_unit_is_chosen_by_the_feature_that_it_follows(
    browser: Any, reports: dict[str, Path]
) -> None:
    source = reports["text"].read_text(encoding="utf-8")
    changed = re.sub(
        r'"followed": \[.*?\], "names"', '"followed": [["in <b>", 5]], "names"', source
    )
    assert '"followed": [["in <b>", 5]]' in changed
    path = reports["text"].with_name("followed.html")
    path.write_text(changed, encoding="utf-8")
    page, wrong = opened(browser, path, viewport=SCREEN)
    page.locator("select.colour-by").select_option(label="in <b>: unit 5")
    assert page.locator("input.unit").input_value() == "5"
    page.locator(".coloured > span").nth(3).hover()
    assert page.locator(".activity").inner_text().startswith("unit 5: ")
    assert not wrong
    page.context.close()


def test_the_arrow_keys_move_through_the_text(text_page: Any) -> None:
    text_page.locator(".coloured").focus()
    for _ in range(3):
        text_page.keyboard.press("ArrowRight")
    text_page.keyboard.press("ArrowLeft")
    classes = text_page.evaluate(
        "Array.from(document.querySelectorAll('.coloured > span'), s => s.classList.contains('at'))"
    )
    assert classes.index(True) == 1


def test_only_the_script_of_the_page_may_run(browser: Any, reports: dict[str, Path]) -> None:
    """Even if a text became a script by a fault of ours, the policy would stop it."""
    source = reports["text"].read_text(encoding="utf-8")
    path = reports["text"].with_name("changed.html")
    path.write_text(
        source.replace("</main>", "<script>document.title = 'x'</script></main>"), "utf-8"
    )
    page, wrong = opened(browser, path)
    assert page.title() == "run: report"
    assert len(wrong) == 1
    assert "Content Security Policy" in wrong[0]
    page.context.close()
