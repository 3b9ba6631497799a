"""Takes the README's picture: the figure of a search's page, from a running service.

    python examples/picture.py 'http://127.0.0.1:8765/searches/<id>?profile=<id>' docs/front.png

Needs Chromium and the Python package playwright, which `.[ci]` brings.
"""

import shutil
import sys

from playwright.sync_api import sync_playwright

EDGE = 12


def take(url: str, path: str) -> None:
    """Save what lies between the search's name and the end of its figure."""
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1000, "height": 1000}, device_scale_factor=1.5)
        page.goto(url)
        page.locator("#plot .point").last.wait_for()
        page.wait_for_timeout(500)  # the last of the drawing
        top, end = page.locator("h1").bounding_box(), page.locator("figure").bounding_box()
        if top is None or end is None:
            sys.exit("the page shows no figure: is this the address of a search?")
        height = end["y"] + end["height"] + EDGE - top["y"]
        width = end["width"] + 2 * EDGE
        page.screenshot(path=path, clip={"x": end["x"] - EDGE, "y": top["y"], "width": width, "height": height})
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    take(sys.argv[1], sys.argv[2])
