"""The documentation's site as `make docs` built it: from disk and over http, on large and small screens."""

import functools
import http.server
import threading
from pathlib import Path

import browser
import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
PAGES = ("index.html", "gallery.html", "how-to/report-page.html", "api/report.html")


@pytest.fixture(scope="module")
def served():
    """The address of the site over http."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=SITE))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
@pytest.mark.skipif(not SITE.exists(), reason="there is no build/site: make docs")
@pytest.mark.parametrize("width", [1300, 390])
@pytest.mark.parametrize("place", ["disk", "http"])
def test_pages_open_and_are_found(served, place, width):
    base = SITE.as_uri() if place == "disk" else served
    with browser.chromium() as chromium:
        page = chromium.new_context(viewport={"width": width, "height": 850}).new_page()
        requests, messages = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        for name in PAGES:
            page.goto(f"{base}/{name}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        if width < 1000:
            page.click('label[for="__search"]')
        page.click("input.md-search__input")
        # The index is read when the search is opened.
        page.wait_for_timeout(2000)
        page.locator("input.md-search__input").press_sequentially("misfit", delay=50)
        page.wait_for_selector(".md-search-result__item")
        link = page.locator(".md-search-result__item a").first.get_attribute("href")
        assert link.startswith(base)
        assert [url for url in requests if not url.startswith(base)] == []
        assert messages == []


def test_nothing_of_the_site_is_loaded_from_elsewhere():
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in settings
    # The plugin adds an address of its own unless there is a polyfill of this name.
    assert "polyfills: [javascripts/iframe-worker.min.js]" in settings
    assert (ROOT / "docs" / "javascripts" / "iframe-worker.min.js").stat().st_size > 1000
