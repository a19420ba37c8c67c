"""The dashboard in a real browser: it loads, lives, explains, purges, comes back, and is there for everybody."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from tests.dashboard.browser import Browser
from tests.dashboard.site import TOKEN, Site
from tests.fleet.processes import ask

pytestmark = pytest.mark.slow

LINK = "return document.getElementById('link').dataset.state"


def live(browser: Browser, site: Site) -> None:
    """Open it, signed in, and wait for its first figures."""
    browser.open(site.signed_in)
    browser.wait(lambda: browser.run(LINK) == "on")
    browser.wait(lambda: browser.text("n-rate") != "–")


@contextmanager
def traffic(site: Site, paths: Callable[[int], str] = lambda number: f"/page-{number % 7}") -> Iterator[None]:
    """Some requests a second, until the end."""
    over = threading.Event()

    def ask_on() -> None:
        number = 0
        while not over.wait(0.01):
            ask(site.port, paths(number))
            number += 1

    thread = threading.Thread(target=ask_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(20)


@contextmanager
def crowd(site: Site, path: str, clients: int) -> Iterator[threading.Event]:
    """So many clients on one fetch that goes on until the event is set, or the end."""
    go = threading.Event()

    def chunks() -> Iterator[bytes]:
        yield b"one"
        for _ in range(100):
            if go.wait(1):
                return
            yield b"more"  # so that nobody loses patience

    site.origin.chunks = chunks
    threads = [threading.Thread(target=ask, args=(site.port, path), daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield go
    finally:
        go.set()
        for thread in threads:
            thread.join(20)
        site.origin.chunks = None


def test_it_loads_from_here_alone_without_a_word_on_the_console(browser: Browser, site: Site) -> None:
    live(browser, site)
    loaded = browser.run("return performance.getEntriesByType('resource').map(one => one.name)")
    names = {"style.css", "script.js", "chart.js", "figures.js", "stream.js"}
    assert {f"{site.dashboard}dashboard.{name}" for name in names} <= set(loaded)
    assert all(name.startswith(site.dashboard) for name in loaded)
    assert browser.console() == []
    # The token is neither in the address nor where another page of this host finds it.
    assert browser.driver.current_url == site.dashboard
    assert browser.run("return [document.cookie, localStorage.length]") == ["", 0]


def test_the_policy_holds_against_the_page_itself(browser: Browser, site: Site) -> None:
    live(browser, site)
    done = browser.run(
        """
        const seen = [];
        document.addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
        const script = document.createElement("script");
        try { script.textContent = "window.owned = 1"; document.body.append(script); } catch { seen.push("trusted"); }
        try { document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.owned = 1'>"); }
        catch { seen.push("markup"); }
        document.body.setAttribute("style", "color: red");
        return new Promise((done) => setTimeout(() => done([window.owned ?? null, seen]), 200));
        """
    )
    assert done[0] is None
    assert {"trusted", "markup", "style-src-attr"} <= set(done[1])


def test_it_asks_for_the_token_and_tells_when_it_is_wrong(browser: Browser, site: Site) -> None:
    browser.open(site.dashboard)
    browser.wait(lambda: browser.find("door").is_displayed())
    browser.find("token").send_keys("not-the-token-at-all" + Keys.ENTER)
    browser.wait(lambda: browser.text("refused") == "That is not the token.")
    assert not browser.find("board").is_displayed()
    browser.find("token").send_keys(TOKEN + Keys.ENTER)
    browser.wait(lambda: browser.run(LINK) == "on")
    assert browser.find("board").is_displayed()
    # It stays in this tab, until it is told to forget.
    browser.driver.refresh()
    browser.wait(lambda: browser.run(LINK) == "on")
    browser.find("leave").click()
    browser.driver.refresh()
    browser.wait(lambda: browser.find("door").is_displayed())


def test_it_lives_while_traffic_flows(browser: Browser, site: Site) -> None:
    live(browser, site)
    with traffic(site):
        browser.wait(lambda: float(browser.text("n-rate")) > 3)
        browser.wait(lambda: float(browser.text("n-ratio").split()[0]) > 50)
        browser.wait(lambda: int(browser.text("n-saved").replace("\u202f", "")) > 20)
        browser.wait(lambda: re.search(r"fresh [1-9]", browser.find("requests").get_attribute("aria-label") or ""))
        browser.wait(lambda: browser.run("return document.querySelectorAll('#requests polygon.fresh').length") == 1)
        browser.wait(lambda: browser.text("n-median").endswith("s"))
        browser.wait(lambda: "/page-" in browser.text("top"))
    assert "Up · origin, 127.0.0.1:" in browser.text("health")
    assert re.search(r"KiB of 64\.0 MiB, \d+ entries", browser.text("memory-said"))
    assert browser.console() == []


def test_a_crowd_is_seen_to_pile_up_on_one_fetch_and_to_land(browser: Browser, site: Site) -> None:
    live(browser, site)
    with crowd(site, "/crowd", 12) as go:
        browser.wait(lambda: "http://localhost/crowd" in browser.text("flights"))
        browser.wait(lambda: "12 clients, one fetch" in browser.text("flights"))
        browser.wait(lambda: browser.text("n-flights") == "1")
        assert browser.run("return document.querySelector('.dots').clientWidth") > 100
        go.set()
        browser.wait(lambda: "landed" in browser.text("flights"))
    browser.wait(lambda: not browser.text("flights"))
    assert browser.find("calm").is_displayed()
    assert site.origin.hits == ["/crowd"]


def test_it_explains(browser: Browser, site: Site) -> None:
    ask(site.port, "/why")
    live(browser, site)
    browser.find("url").send_keys("http://localhost/why" + Keys.ENTER)
    browser.wait(lambda: browser.text("verdict").startswith("fresh, because: hit"))
    assert "RFC 9111 §4.2" in browser.text("steps")
    browser.find("fields").send_keys("Cache-Control: no-cache")
    browser.find("url").send_keys(Keys.ENTER)
    browser.wait(lambda: browser.text("verdict").startswith("validate, because: reload"))
    browser.run("document.getElementById('url').type = 'text'")
    browser.find("url").clear()
    browser.find("url").send_keys("nonsense" + Keys.ENTER)
    browser.wait(lambda: browser.text("verdict").startswith("url: expected a URL"))
    assert browser.text("steps") == ""
    assert site.origin.hits == ["/why"]


def test_a_top_key_is_explained_at_a_click(browser: Browser, site: Site) -> None:
    ROW = "return [...document.querySelectorAll('#top button')].find(one => one.textContent.endsWith('/key'))"
    ask(site.port, "/key")
    live(browser, site)
    Select(browser.find("by")).select_by_visible_text("misses")
    browser.wait(lambda: browser.run(ROW))
    browser.run(f"{ROW}.click()".removeprefix("return "))
    browser.wait(lambda: browser.text("verdict").startswith("fresh"))


def test_it_purges(browser: Browser, site: Site) -> None:
    ask(site.port, "/old")
    live(browser, site)
    browser.find("value").send_keys("http://localhost/old")
    count, purge = "[name=dry]", ".grave"
    press = "document.querySelector('#purge ' + arguments[0]).click()"
    browser.run(press, count)
    browser.wait(lambda: browser.text("purged") == "Would be purged, 1 stored.")
    assert "hit" in ask(site.port, "/old")[1]["cache-status"]
    browser.run("document.getElementById('value').value = '/old'")
    browser.run(press, count)
    browser.wait(lambda: browser.text("purged") == "Would be purged, 1 stored.")
    browser.run("document.getElementById('value').value = 'http://localhost/old'")
    browser.run(press, "[value=hard]")
    browser.run(press, purge)
    browser.wait(lambda: browser.text("purged").startswith("Gone everywhere"))
    assert "fwd=uri-miss" in ask(site.port, "/old")[1]["cache-status"]
    # Everything is said twice.
    Select(browser.find("scope")).select_by_value("all")
    browser.run(press, purge)
    browser.wait(lambda: browser.text("purged") == "Everything? Say so with the box above.")
    assert "hit" in ask(site.port, "/old")[1]["cache-status"]
    browser.find("certain").click()
    browser.run(press, "[value=soft]")
    browser.run(press, purge)
    browser.wait(lambda: browser.text("purged").startswith("Stale everywhere"))
    assert ask(site.port, "/old")[1]["x-cache"] == "STALE"
    assert browser.console() == []


def test_markup_that_clients_send_stays_text(browser: Browser, site: Site) -> None:
    path = "/<img/src=x/onerror=window.owned=1><script>window.owned=1</script>"
    live(browser, site)
    with crowd(site, path, 1):
        browser.wait(lambda: path in browser.text("flights"))
    Select(browser.find("by")).select_by_visible_text("misses")
    browser.wait(lambda: path in browser.text("top"))
    assert browser.run("return [document.querySelectorAll('main img, main script').length, window.owned ?? null]") == [
        0,
        None,
    ]
    assert browser.console() == []


def test_it_says_that_the_connection_is_lost_and_comes_back(browser: Browser, site: Site) -> None:
    live(browser, site)
    site.stop()
    browser.wait(lambda: re.fullmatch(r"Connection lost: trying again in \d+ s", browser.text("link")))
    assert browser.find("link").get_attribute("aria-live") == "polite"
    assert browser.run("return document.getElementById('board').hasAttribute('data-old')")
    site.start_again()
    browser.wait(lambda: browser.run(LINK) == "on", seconds=40)
    assert not browser.run("return document.getElementById('board').hasAttribute('data-old')")


CONTRAST = """
const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
  .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
  .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
const behind = (element) => {
  for (let one = element; one; one = one.parentElement) {
    const colour = parts(getComputedStyle(one).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const found = [];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const element = walk.currentNode.parentElement;
  if (!walk.currentNode.data.trim() || !element.checkVisibility() || element.closest(".unseen, noscript")) continue;
  const style = getComputedStyle(element);
  const [one, other] = [light(parts(element.closest("svg") ? style.fill : style.color)), light(behind(element))];
  const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  if (contrast < 4.5) found.push(`${walk.currentNode.data.trim().slice(0, 40)}: ${contrast.toFixed(2)}`);
}
return found;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read_on_a_phone_and_in_the_dark(browser: Browser, site: Site, scheme: str) -> None:
    long = "/a-long-path-" + "x" * 200
    browser.prefer(scheme)
    try:
        with traffic(site, lambda number: long if number % 2 else "/short"):
            live(browser, site)
            Select(browser.find("by")).select_by_visible_text("misses")
            browser.wait(lambda: long in browser.text("top"))
            browser.find("url").send_keys(f"http://localhost{long}" + Keys.ENTER)
            browser.wait(lambda: browser.text("steps"))
            # Then the origin is held up, and what the others ask for is stored.
            with crowd(site, long + "/crowd", 40):
                for width in (1280, 800, 360):
                    browser.size(width, 800)
                    browser.wait(lambda: "clients, one fetch" in browser.text("flights"))
                    widths = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
                    needed, given = browser.run(widths)
                    # What is missing of the width is the bar to scroll down with.
                    assert needed == given >= width - 20
                    assert browser.run(CONTRAST) == []
        paper = browser.run("return getComputedStyle(document.body).backgroundColor")
        lightness = sum(int(part) for part in re.findall(r"\d+", paper)) / 3
        assert lightness > 200 if scheme == "light" else lightness < 40
    finally:
        browser.prefer("light")
        browser.size(1280, 900)


def test_everything_has_a_name_and_a_place(browser: Browser, site: Site) -> None:
    ask(site.port, "/x")
    live(browser, site)
    tree = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    known = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]]
    roles = [role for role, _ in known]
    assert {"banner", "main", "heading", "meter", "table", "status", "form"} <= set(roles) | {"form"}
    assert roles.count("main") == roles.count("banner") == 1
    wanted = {"button", "textbox", "combobox", "radio", "checkbox", "meter", "region", "image", "link"}
    assert [role for role, name in known if role in wanted and not name] == []
    headings = browser.run("return [...document.querySelectorAll('h1, h2, h3')].map(one => +one.tagName[1])")
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))


def test_the_keyboard_is_enough(browser: Browser, site: Site) -> None:
    live(browser, site)
    seen: list[str] = []
    active = """
        const one = document.activeElement, style = getComputedStyle(one);
        return [one.id || one.className || one.tagName, style.outlineStyle !== "none" && style.outlineWidth !== "0px"];
    """
    for _ in range(25):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        name, outlined = browser.run(active)
        if name == "BODY":
            break
        assert outlined, name
        seen.append(name)
    assert seen[0] == "skip"
    assert [name for name in seen if name in {"leave", "by", "scope", "value", "method", "url", "fields"}] == [
        "leave",
        "by",
        "scope",
        "value",
        "method",
        "url",
        "fields",
    ]


@pytest.mark.timeout(200)
def test_it_looks_as_in_the_documentation(browser: Browser, site: Site, tmp_path: Path) -> None:
    """With TXSTALECACHE_PICTURES naming a directory the pictures are left there: docs/dashboard.png is one."""
    place = Path(os.environ.get("TXSTALECACHE_PICTURES", tmp_path))
    seconds = 100 if "TXSTALECACHE_PICTURES" in os.environ else 2
    shop = ["", "shoes", "hats?page=2", "hats", "shoes/boots", "prices?currency=EUR"]
    site.origin.fields["Cache-Control"] = "max-age=1, stale-while-revalidate=60"

    busy = True

    def page(number: int) -> str:
        return f"/search?q={number}" if busy and number % 9 == 0 else f"/{shop[number % 97 % len(shop)]}"

    with traffic(site, page):
        live(browser, site)
        time.sleep(seconds)
        # What follows is answered from the cache: the origin is held up.
        busy = False
        site.origin.fields["Cache-Control"] = "max-age=60"
        time.sleep(2.5)
        with crowd(site, "/sale", 37), crowd(site, "/news", 9):
            browser.wait(lambda: "37 clients, one fetch" in browser.text("flights"))
            browser.run("scrollTo(0, 0)")
            for scheme in ("light", "dark"):
                browser.prefer(scheme)
                browser.size(1280, 1230)
                browser.wait(lambda: browser.text("n-flights") == "2")
                time.sleep(0.5)
                browser.driver.save_screenshot(str(place / f"dashboard-{scheme}.png"))
            browser.size(360, 860)
            time.sleep(0.5)
            browser.driver.save_screenshot(str(place / "dashboard-phone.png"))
    browser.prefer("light")
    browser.size(1280, 900)
    assert all(path.stat().st_size > 10_000 for path in place.glob("dashboard-*.png"))
