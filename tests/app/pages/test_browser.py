"""The pages in Chromium: live, clickable, readable by everybody, quiet on the console under the service's policy."""

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.app.api.world import MODEL
from tests.app.pages.made import Pages, open_pages, plan

pytestmark = pytest.mark.browser
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine", allow_module_level=True)
ARGUMENTS = (
    "--no-sandbox --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --disable-gpu --hide-scrollbars"
).split()
PATIENCE_MS = 20_000


@dataclass
class Service:
    """A real server on loopback over the rows of `pages`."""

    pages: Pages
    url: str


@dataclass
class Tab:
    """A page of the browser, and what its console and its network complained of."""

    page: Any
    complaints: list[str] = field(default_factory=list)

    def count(self, script: str) -> Any:
        """What a script in the page says."""
        return self.page.evaluate(script)

    def until(self, script: str) -> None:
        """Wait until a script in the page says yes (playwright's own wait needs what the page's policy forbids)."""
        end = time.monotonic() + PATIENCE_MS / 1000
        while not self.page.evaluate(script):
            assert time.monotonic() < end, f"waited in vain until {script}; {self.complaints}"
            self.page.wait_for_timeout(50)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    import uvicorn

    from app.main import create_app

    made = open_pages(tmp_path_factory.mktemp("browser") / "data")
    app = create_app(made.world.service.settings)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield Service(pages=made, url=f"http://127.0.0.1:{listening.getsockname()[1]}")
    app.state.stopping.set()
    server.should_exit = True
    thread.join(10)
    made.world.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Callable[..., Tab]]:
    """Opens tabs; in the end none may have had an error on its console or a request that failed."""
    opened: list[tuple[Any, Tab]] = []

    def open_tab(url: str, **options: Any) -> Tab:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        made = Tab(context.new_page())
        made.page.on("console", lambda m: made.complaints.append(m.text) if m.type == "error" else None)
        made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
        made.page.on("response", lambda r: made.complaints.append(f"{r.status} {r.url}") if r.status >= 400 else None)
        opened.append((context, made))
        made.page.goto(url)
        return made

    yield open_tab
    for context, made in opened:
        context.close()
        assert made.complaints == []


def drawn(tab: Tab, trials: int) -> None:
    """Wait until the figure shows so many trials."""
    tab.until(f"document.getElementById('plot').dataset.trials === '{trials}'")


def centre(tab: Tab, trace: str, index: int) -> tuple[float, float]:
    """Where a point of the SVG figure is in the window."""
    found = tab.page.locator("#plot .trace.scatter").nth(traces(tab).index(trace)).locator(".point").nth(index)
    found.scroll_into_view_if_needed()
    box = found.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def traces(tab: Tab) -> list[str]:
    """The names of the SVG figure's traces, in the order drawn."""
    names: list[str] = tab.count("document.getElementById('plot').data.filter(t => t.x.length).map(t => t.name)")
    return names


def test_every_point_of_the_json_is_drawn(service: Service, tab: Callable[..., Tab], tmp_path: Path) -> None:
    search = service.pages.finished(name="the figure")
    opened = tab(f"{service.url}/searches/{search}")
    front = service.pages.json(f"/searches/{search}/front")
    drawn(opened, len(front["trials"]))
    aside = [t for t in front["points"] if t["role"] != "searched"]  # drawn twice: as a baseline and on the front
    assert opened.page.locator("#plot .point").count() == len(front["trials"]) + len(aside)
    assert opened.count("document.getElementById('plot').dataset.front") == str(len(front["points"]))
    placed = opened.count("document.getElementById('plot').data.flatMap(t => t.x.map((x, i) => [x, t.y[i]]))")
    assert set(map(tuple, placed)) == {(t["latency_ms"], t["accuracy"]) for t in front["trials"]}
    low, high = opened.count("document.getElementById('plot')._fullLayout.xaxis.range")
    assert low == 0 and high > max(t["latency_ms"] for t in front["trials"])
    assert opened.count("document.getElementById('plot')._fullLayout.yaxis.range[1]") <= 1
    assert "predicted latency, ms at batch 1 (from a measured profile)" in opened.page.locator("#plot").inner_text()
    opened.page.screenshot(path=tmp_path / "search.png", full_page=True)
    assert (tmp_path / "search.png").stat().st_size > 20_000


def test_hover_says_what_a_point_is_and_a_click_opens_it(service: Service, tab: Callable[..., Tab]) -> None:
    search = service.pages.finished()
    opened = tab(f"{service.url}/searches/{search}")
    drawn(opened, 5)
    point = service.pages.json(f"/searches/{search}/front")["points"][0]
    place = centre(opened, "front", 0)
    opened.page.mouse.move(place[0] - 30, place[1] + 30)
    opened.page.mouse.move(*place, steps=5)
    opened.page.wait_for_selector("#plot .hoverlayer .hovertext", timeout=PATIENCE_MS)
    said = opened.page.locator("#plot .hoverlayer").text_content()
    assert f"trial {point['number']}" in said
    assert f"{100 * point['accuracy']:.1f} ± 1.0% validation" in said
    low, high = f"{point['low_ms']:.3g}", f"{point['high_ms']:.3g}"
    assert f"({low}–{high}) predicted" in said and "of dense" in said
    opened.page.mouse.click(*place)
    opened.page.wait_for_url(f"**{point['page']}", timeout=PATIENCE_MS)
    assert opened.page.locator("#layers tbody tr").count() == len(MODEL.layers)


def test_the_keyboard_reaches_a_point(service: Service, tab: Callable[..., Tab]) -> None:
    search = service.pages.finished()
    opened = tab(f"{service.url}/searches/{search}")
    drawn(opened, 5)
    opened.page.locator("#front-rows a").first.focus()
    style = opened.count("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_url("**/trials/*", timeout=PATIENCE_MS)


def test_devices_are_switched_and_each_says_what_it_rests_on(service: Service, tab: Callable[..., Tab]) -> None:
    search = service.pages.finished()
    opened = tab(f"{service.url}/searches/{search}")
    drawn(opened, 5)
    opened.page.locator("nav.devices a").nth(1).click()
    opened.page.wait_for_url("**?profile=*", timeout=PATIENCE_MS)
    drawn(opened, 5)
    assert "analytical model, not measured" in opened.page.locator("#plot").inner_text()
    front = service.pages.json(f"/searches/{search}/front?profile={service.pages.modelled}")
    xs = opened.count("document.getElementById('plot').data.find(t => t.name === 'front').x")
    assert xs == [p["latency_ms"] for p in front["points"]]
    assert opened.page.locator("nav.devices a[aria-current]").inner_text().startswith(front["profile_name"])


def test_zoom_leaves_zero_and_comes_back(service: Service, tab: Callable[..., Tab]) -> None:
    opened = tab(f"{service.url}/searches/{service.pages.finished()}")
    drawn(opened, 5)
    low = "document.getElementById('plot')._fullLayout.xaxis.range[0]"
    opened.page.locator("#zoom").click()
    opened.until(f"{low} > 0")
    opened.page.locator("#zoom").click()
    opened.until(f"{low} === 0")


def test_the_page_lives_while_trials_come_in(service: Service, tab: Callable[..., Tab]) -> None:
    pages = service.pages
    search = pages.running(trials=30)
    opened = tab(f"{service.url}/searches/{search}")
    assert "No trial is complete yet." in opened.page.locator("#plot").inner_text()
    seen = pages.some_trials()
    pages.record(search, seen[:2])
    drawn(opened, 2)
    opened.page.locator("#trials summary").click()
    for number in range(2, 8):
        pages.record(search, [pages.trial(number, plan(number), 0.9 + number / 200)])
    drawn(opened, 8)
    opened.until("document.getElementById('done').textContent === '8'")
    rows = opened.page.locator("#front-rows tr").count()
    assert rows == len(pages.json(f"/searches/{search}/front")["points"])
    assert opened.page.locator("#trial-rows tr").count() == 8
    assert opened.page.locator("#trials").get_attribute("open") is not None, "it was opened by hand and stays open"
    pages.end(search)
    opened.until("document.getElementById('state').textContent === 'succeeded'")
    assert opened.page.locator("#cancel").count() == 0


def test_a_failure_arrives_live_and_hostile_names_run_nothing(service: Service, tab: Callable[..., Tab]) -> None:
    from app.search.trial import Failure
    from tests.app.pages.made import HOSTILE

    search = service.pages.running(name=HOSTILE)
    opened = tab(f"{service.url}/searches/{search}")
    opened.page.on("dialog", lambda dialog: opened.complaints.append(f"dialog {dialog.message}"))
    service.pages.end(search, "failed", Failure(code="internal", reason=HOSTILE))
    opened.until("document.getElementById('failure').textContent.includes('onerror=alert(1)')")
    assert opened.page.locator("img").count() == 0
    assert opened.page.locator("h1").inner_text() == HOSTILE


def test_cancel(service: Service, tab: Callable[..., Tab]) -> None:
    search = service.pages.running()
    opened = tab(f"{service.url}/searches/{search}")
    opened.page.locator("#cancel").click()
    opened.until("document.getElementById('state').textContent === 'cancelling'")
    assert service.pages.json(f"/searches/{search}")["desired"] == "cancel"
    assert opened.page.locator("#cancel").is_disabled()
    service.pages.end(search, "cancelled")
    opened.until("document.getElementById('state').textContent === 'cancelled'")


@pytest.mark.parametrize(("count", "dots"), [(10_000, 10_000), (50_000, 16_667)])
def test_very_many_trials_are_drawn_under_the_policy(
    service: Service, tab: Callable[..., Tab], count: int, dots: int
) -> None:
    """Answered by the test, and drawn by the page itself: a script run from here would be free of the policy."""
    search = service.pages.finished(name="many")
    front = service.pages.json(f"/searches/{search}/front")
    one = front["trials"][4]
    assert one["role"] == "searched" and one["number"] not in [p["number"] for p in front["points"]]
    front["trials"] += [
        one | {"number": n, "page": f"/{n}", "latency_ms": 0.5 + n % 211 / 50, "value": 0.5 + n % 97 / 300}
        for n in range(10, 9 + count)
    ]
    opened = tab("about:blank")
    opened.page.route("**/front?*", lambda route: route.fulfill(json=front))
    policy = opened.page.goto(f"{service.url}/searches/{search}").headers["content-security-policy"]
    assert "unsafe-eval" not in policy
    opened.until("document.getElementById('plot').dataset.trials > 1000")
    assert opened.page.locator("#plot .trace.scatter").first.locator(".point").count() == dots
    assert opened.page.locator("#thinned").inner_text() == (
        "" if count == dots else "Of dominated trials one in 3 is drawn."
    )


def test_without_javascript_the_figure_and_the_tables_are_there(service: Service, tab: Callable[..., Tab]) -> None:
    search = service.pages.finished()
    opened = tab(f"{service.url}/searches/{search}", java_script_enabled=False)
    points = service.pages.json(f"/searches/{search}/front")["points"]
    assert opened.page.locator("#plot svg circle.predicted").count() == len(points)
    assert opened.page.locator("#front-rows tr").count() == len(points)
    opened.page.locator("#plot svg a").first.click()
    opened.page.wait_for_url(f"**{points[0]['page']}", timeout=PATIENCE_MS)


def test_a_profile_is_matched_and_settled_with_the_keyboard(service: Service, tab: Callable[..., Tab]) -> None:
    opened = tab(f"{service.url}/searches/{service.pages.finished()}")
    opened.page.locator("h2 a").click()
    opened.page.wait_for_url(f"**/profiles/{service.pages.world.profile}?model=*", timeout=PATIENCE_MS)
    assert opened.page.locator("#payoffs tbody tr").count() == len(MODEL.layers)
    opened.page.goto(f"{service.url}/profiles/{service.pages.ambiguous()}")
    opened.page.locator("#model").focus()
    opened.page.keyboard.press("Tab")
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_url("**?model=*", timeout=PATIENCE_MS)
    opened.page.locator("#ambiguous select").focus()
    opened.page.keyboard.type("stem + add")
    opened.page.keyboard.press("Tab")
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_selector("#gate .chip.ok", timeout=PATIENCE_MS)
    assert "stem + add" in opened.page.locator("#matched").inner_text()


def test_a_search_is_estimated_and_started_with_the_keyboard_and_without_javascript(
    service: Service, tab: Callable[..., Tab]
) -> None:
    opened = tab(f"{service.url}/searches/new", java_script_enabled=False)
    page = opened.page
    page.locator("#f-name").focus()
    page.keyboard.type("typed")
    page.locator(f"#f-profiles-{service.pages.world.profile}").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Estimate").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#estimate", timeout=PATIENCE_MS)
    assert page.locator("#f-name").input_value() == "typed"
    page.get_by_role("button", name="Start the search").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#state", timeout=PATIENCE_MS)
    assert page.locator("h1").inner_text() == "typed"


def test_what_was_measured_and_shipped_is_drawn(service: Service, tab: Callable[..., Tab]) -> None:
    search = service.pages.explored()
    opened = tab(f"{service.url}/searches/{search}")
    drawn(opened, 6)
    names = opened.count("document.getElementById('plot').data.map((trace) => [trace.name, trace.x.length])")
    assert dict(names) | {"front": 0} == {
        "lower fidelity": 1, "dominated": 1, "dense as uploaded": 1, "dense with the trials' recovery": 1, "front": 0,
        "tie": 3, "measured": 1, "shipped": 1,
    }  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_everybody_can_read_it(service: Service, tab: Callable[..., Tab], scheme: str, width: int) -> None:
    """No serious finding of axe, and nothing wider than the window, on any page in any state."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    pages = service.pages
    done, live = pages.explored(), pages.running()
    pages.record(live, pages.some_trials()[:3])
    opened = tab(f"{service.url}/searches", color_scheme=scheme)
    opened.page.set_viewport_size({"width": width, "height": 900})
    trials = (f"/{done}/trials/3", f"/{done}/trials/5")
    limits = "&".join(f"profile={profile}&share=100&ms=&least=" for profile in pages.profiles)
    forms = (f"/searches/{done}/fleet?{limits}", "/searches/new", f"/searches/new?like={done}")
    material = ("/models", f"/models/{pages.world.model}", "/datasets")
    searches = ("", f"/{done}", f"/{done}?profile={pages.modelled}", f"/{live}", *trials)
    drawings = [f"/searches{path}" for path in searches if path and "trials" not in path]
    fits = (f"/profiles/{profile}?model={pages.world.model}" for profile in (*pages.profiles, pages.ambiguous()))
    for path in (*(f"/searches{path}" for path in searches), "/profiles", *forms, *material, *fits):
        opened.page.goto(f"{service.url}{path}")
        opened.count("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        if path in drawings:
            opened.until("document.getElementById('plot').dataset.trials > 0")
        found = axe.run(opened.page).response["violations"]
        serious = [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")]
        assert serious == [], path
        assert opened.count("document.documentElement.scrollWidth <= innerWidth"), path
