"""How large a report's page is, how soon it answers, and what a step of its slider costs, in headless Chromium.

python -m benchmarks.page runs/evaluation/report.html
"""

import re
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
SHOWN = "document.getElementById('fmr').textContent.length > 0"
STEPS = 50
STEP = f"""() => {{
    const slider = document.getElementById('slider'), begin = performance.now()
    for (let step = 0; step < {STEPS}; step++) {{
        slider.stepDown()
        slider.dispatchEvent(new Event('input'))
        document.body.offsetHeight  // lays the page out, as a person moving the slider would have it
    }}
    return (performance.now() - begin) / {STEPS}
}}"""


def main(report: Path) -> None:
    """Print the page's size with and without pictures, and the least times of five openings."""
    text = report.read_text(encoding="utf-8")
    pictures = sum(len(found) for found in re.findall(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+", text))
    print(f"page: {len(text) / 1e6:.2f} MB, without pictures {(len(text) - pictures) / 1e6:.2f} MB")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        opened, moved = [], []
        for _ in range(5):
            page = browser.new_page()
            page.goto(report.absolute().as_uri(), wait_until="commit")
            page.wait_for_function(SHOWN)
            opened.append(float(page.evaluate("performance.now()")))
            moved.append(float(page.evaluate(STEP)))
            page.close()
        browser.close()
    print(f"interactive after {min(opened):.0f} ms, a step of the slider {min(moved):.1f} ms")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
