import json
import re
from pathlib import Path

import pytest

from pipeline.reporting.page import write_page
from pipeline.reporting.summary import index_check

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright (a development dependency)")
    if not CHROMIUM.is_file():
        pytest.skip(f"needs a browser at {CHROMIUM}")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser, report_folder):
    """The report, opened; anything that it complains of or asks for fails the test."""
    opened, trouble = browser.new_page(), []
    opened.on("console", lambda message: trouble.append(f"{message.type}: {message.text}"))
    opened.on("pageerror", lambda error: trouble.append(str(error)))
    opened.on("request", lambda request: trouble.append(request.url))
    opened.goto((report_folder / "report.html").as_uri())
    opened.wait_for_function("document.getElementById('fmr').textContent.length > 0")
    yield opened
    opened.close()
    assert [entry for entry in trouble if not entry.startswith(("data:", "file:"))] == []


def whole(text):
    return [int(number.replace(",", "")) for number in re.findall(r"[\d,]+", text)]


def test_the_slider_moves_rates_and_counts_to_what_the_report_says(page, report_folder):
    report = json.loads((report_folder / "report.json").read_text())
    shown = next(r for r in report["results"] if r["system"] == report["main_system"] and r["size_px"] == 16)
    rates = shown["verification"]["at_threshold"]
    assert whole(page.inner_text("#fmr-count")) == [rates["false_matches"], rates["impostors"]]
    assert whole(page.inner_text("#fnmr-count")) == [rates["false_non_matches"], rates["genuines"]]
    assert page.inner_text("#fmr") == f"{100 * rates['fmr']:.3f} %"
    page.select_option("#system", "bicubic")
    page.fill("#exact", "-1")
    accepted_all = whole(page.inner_text("#fmr-count"))
    assert accepted_all[0] == accepted_all[1]
    page.fill("#exact", "1")
    assert whole(page.inner_text("#fmr-count"))[0] == 0


def test_arrow_keys_on_the_slider_change_the_figures_step_by_step(page, report_folder):
    report = json.loads((report_folder / "report.json").read_text())
    curve = next(c for c in report["curves"] if c["system"] == report["main_system"] and c["size_px"] == 16)
    counts = [int(count) for count in curve["impostor"].split()]
    page.focus("#slider")
    for _ in range(7):
        page.keyboard.press("ArrowLeft")
    assert page.input_value("#exact") == "0.343"
    assert whole(page.inner_text("#fmr-count"))[0] == sum(counts[max(0, 343 - curve["first_step"]) :])
    assert "0.343" in page.inner_text("#words")


def test_the_page_fits_a_telephone_and_a_wide_screen_in_both_schemes(page):
    for width in (360, 1440):
        for scheme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator("#roc svg path").count() >= 7
    unnamed = "e => e.filter(x => !x.labels?.length && !x.ariaLabel && !x.textContent.trim()).length"
    assert page.eval_on_selector_all("select, input, button", unnamed) == 0


def test_how_far_an_index_agrees_with_the_exact_search_stands_below_the_ranks(page, report_folder, tmp_path):
    assert page.locator("#index-check").is_hidden()
    report = json.loads((report_folder / "report.json").read_text())
    for result, agreeing in zip(report["results"], (0.98, 0.9, *[1.0] * 20), strict=False):
        result["identification"]["index"] = {"index": "IVF400,SQ8", "checked": 100, "agreeing": agreeing}
    write_page(tmp_path / "report.html", {**report, "index_check": index_check(report)}, [], None)
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_function("document.getElementById('fmr').textContent.length > 0")
    said, least = page.inner_text("#index-check"), report["results"][1]
    assert "IVF400,SQ8" in said and "90 of 100 probes" in said and f"({least['name']}, 8 px)" in said


def test_the_page_is_small_and_shows_no_face_unless_asked(report_folder, chain, arguments, run):
    from pipeline.evaluate_dataset import main

    assert run(main, arguments(chain, chain / "faceless", "--no-faces")) == 0
    text = (chain / "faceless" / "report.html").read_text(encoding="utf-8")
    assert "data:image" not in text and len(text.encode()) < 1_000_000
    assert "data:image/png" in (report_folder / "report.html").read_text(encoding="utf-8")
