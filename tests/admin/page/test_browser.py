"""The page as a person uses it, in Chromium: search, records, explanations, changes that arrive, and bad days."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from tests import build
from tests.admin.page.browser import Page
from tests.admin.page.world import STOPPED, World, machine, world
from tests.fakes.api_faults import refuse
from tests.fakes.api_server import FakeApiServer

WEB = "web-10.web.shop.svc.cluster.local."
GONE = f"{STOPPED}.runners.ci.svc.cluster.local."
RESULTS = "document.querySelectorAll('.result').length"
FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
PICTURES = os.environ.get("DNSSERVER_PICTURES", "")  # the folder that `make screenshots` writes to


async def opened(page: Page, site: World, rest: str = "") -> None:
    """Open the page, or another place of it, and wait until it knows the server."""
    await page.goto(site.url + rest)
    await page.shows("#pulse", "Synced")


async def test_overview(page: Page, site: World) -> None:
    """The overview says what is watched and served, and counts what is asked; nothing jumps while it comes."""
    await opened(page, site)
    await page.evaluate(
        """new PerformanceObserver((list) => {
            for (const one of list.getEntries()) window.jumps = (window.jumps ?? 0) + one.value;
        }).observe({ type: "layout-shift", buffered: true })"""
    )
    assert await page.evaluate("document.title") == "dnsserver"
    overview = await page.text("#overview")
    for wanted in ("cluster.local.", "in-addr.arpa.", "VirtualMachineInstance", "virtualmachineinstances.kubevirt.io"):
        assert wanted in overview
    assert "241" in overview  # VMIs
    for _ in range(7):
        await site.server.ask(WEB)
    await site.server.ask("nothing.shop.svc.cluster.local")
    await page.until("document.querySelector('.bars .total')?.textContent === '8'")
    assert "NXDOMAIN" in await page.text("#overview")
    assert await page.evaluate("window.jumps ?? 0") < 0.02
    assert await page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(246, 246, 243)"
    await page.look_like(1280, 800, dark=True)
    assert await page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(18, 20, 24)"


async def test_search_by_keyboard(page: Page, site: World) -> None:
    """`/` goes to the search, arrows choose, Enter opens, Esc clears; what is open is in the address."""
    await opened(page, site)
    await page.press("/")
    await page.type("WEB-1")
    await page.until(f"{RESULTS} === 30")
    assert await page.evaluate("document.querySelector('.result .own').textContent") == "web-10.web.shop.svc."
    assert await page.evaluate("document.querySelector('.result mark').textContent") == "web-1"
    await page.press("ArrowUp")  # from the top to the last
    await page.until("document.querySelector('.result.active') === document.querySelector('.results').lastChild")
    await page.press("ArrowDown")
    active = "document.getElementById(document.getElementById('search').getAttribute('aria-activedescendant'))"
    assert await page.evaluate(f"{active} === document.querySelector('.result')")
    await page.press("Enter")
    await page.shows("#details", "shop/web-10")
    assert await page.evaluate("location.hash") == f"#q=WEB-1&name={WEB}"
    assert await page.evaluate("document.title") == f"{WEB} · dnsserver"
    await page.press("Escape")
    await page.until(f"{RESULTS} === 0 && document.getElementById('search').value === ''")
    await page.press("Escape")
    await page.until("document.getElementById('details').hidden && location.hash === ''")


async def test_search_by_address(page: Page, site: World) -> None:
    """An address is looked for by its reverse name, also while it is not complete."""
    await opened(page, site)
    await page.press("/")
    await page.type("10.244.1")
    await page.until(f"{RESULTS} === 6")
    await page.type(".12")
    await page.until(f"{RESULTS} === 1")
    await page.press("Enter")
    await page.shows(".records", "db-02.db.shop.svc.cluster.local.")
    await page.shows("#details", "shop/db-02")  # an address comes from what its name comes from
    await page.click(".records a")
    await page.shows("#details h2", "db-02.db.shop.svc.cluster.local.")


async def test_details(page: Page, site: World) -> None:
    """A link shows a name with its records, the objects behind it and their age, and why it resolves."""
    await opened(page, site, f"#name={WEB}&type=A")
    await page.shows(".explanation", "NOERROR")
    records, objects = await page.text(".records"), await page.text(".objects")
    assert "10.244.0.20" in records
    assert f"0 100 8080 {WEB}" in records
    assert "VirtualMachineInstance" in objects
    assert "13 d 3 h old" in objects
    assert "212 d old" in objects
    await page.shows(".steps", "The VMI is Ready")
    assert await page.evaluate("document.querySelectorAll('.steps [data-tone=bad]').length") == 0
    await page.evaluate(
        """(() => {
            const select = document.querySelector(".choose select");
            select.value = "AAAA";
            select.dispatchEvent(new Event("change"));
        })()"""
    )
    await page.shows(".verdict", "NODATA")
    assert await page.evaluate("location.hash") == f"#name={WEB}&type=AAAA"


async def test_what_does_not_exist(page: Page, site: World) -> None:
    """What is not found can be asked for all the same: why it does not resolve comes first, with what would help."""
    await opened(page, site)
    await page.press("/")
    await page.type(f"{STOPPED}.runners.ci")
    await page.shows(".offer", GONE)
    await page.press("Enter")
    await page.shows(".verdict", "GuestNotRunning")
    assert "Does not exist" in await page.text(".chips")
    assert "condition Ready" in await page.text(".steps [data-tone=bad] dl")
    assert "ci/runners" in await page.text(".objects")
    assert await page.text(".advice") != ""
    tops = "[...document.querySelectorAll('.details .card')].map((one) => one.getBoundingClientRect().top)"
    records, objects, why = await page.evaluate(tops)
    assert why < records < objects


async def test_change_arrives(page: Page, site: World) -> None:
    """What is open follows the cluster without a reload: records, objects, explanation and results, marked as news."""
    await opened(page, site, f"#q=runners-0&name={GONE}&type=A")
    await page.shows(".verdict", "NXDOMAIN")
    await page.until(f"{RESULTS} === 9")
    await page.evaluate(
        """(() => {
            window.kept = true;
            window.marked = [];
            new MutationObserver(() => {
                for (const one of document.querySelectorAll(".changed")) window.marked.push(one.textContent);
            }).observe(document.body, { subtree: true, childList: true, attributes: true });
        })()"""
    )
    site.api.put(machine("ci", "runners", 3, ready=True))
    await page.shows(".verdict", "NOERROR")
    await page.shows(".records", "10.244.2.13")
    await page.shows(".objects", "ci/runners-03")
    await page.until(f"{RESULTS} === 10")
    site.api.put(machine("ci", "runners", 3, ready=True, addresses=("10.244.2.99",)))
    await page.shows(".records", "10.244.2.99")
    await page.shows(".result.chosen", "10.244.2.99")
    assert "10.244.2.13" not in await page.text("body")
    assert await page.evaluate("window.kept")
    marked = await page.evaluate("window.marked.join(' ')")
    assert "10.244.2.99" in marked  # the record,
    assert GONE.removesuffix("cluster.local.") in marked  # the name among the results,
    assert "NOERROR" in marked  # and the verdict
    assert "10.244.2.12" not in marked  # others stay as they are


async def test_without_motion(page: Page, site: World) -> None:
    """Who wants no motion sees changes all the same, and nothing moves."""
    await page.look_like(1280, 800, still=True)
    await opened(page, site, f"#name={WEB}")
    await page.shows(".records", "10.244.0.20")
    site.api.put(machine("shop", "web", 10, addresses=("10.244.0.250",)))
    await page.until("document.querySelector('.records tr.changed')")
    seen = "(({ animationName, backgroundColor }) => [animationName, backgroundColor])"
    look = f"{seen}(getComputedStyle(document.querySelector('.records tr.changed td')))"
    assert await page.evaluate(look) == ["none", "rgb(255, 243, 196)"]


async def test_hostile_names(page: Page, site: World) -> None:
    """Whatever a name spells is text: in objects, in what was typed, and in links."""
    markup = "<img src=x onerror=window.harmed=1><script>window.harmed=1</script>"
    value = machine("lab", "desktops", 1, hostname="evil", node=markup) | {}
    value["metadata"] |= {"name": markup, "uid": "\u202e" + markup}
    site.api.put(value)
    await opened(page, site, "#name=evil.desktops.lab.svc.cluster.local.&type=A")
    await page.shows(".objects", markup)
    await page.press("/")
    await page.type(markup)
    await page.shows(".none", markup)
    await page.goto(
        f"{site.url}#name=%3Cscript%3Ewindow.harmed=1%3C/script%3E%22%27.shop.svc.cluster.local.&type=%3Cb%3E"
    )
    await page.shows("h2", "<script>window.harmed=1</script>\\\"'.shop.svc.cluster.local.")
    assert await page.evaluate("window.harmed") is None
    assert await page.evaluate("document.querySelectorAll('main img, main script, main b').length") == 0
    page.errors = [one for one in page.errors if "400 (Bad Request)" not in one]  # there is no type <b>


async def test_no_name(page: Page, site: World) -> None:
    """A link to what is no name says so, and one to a name of nobody's says that."""
    await opened(page, site, "#name=a..b")
    await page.shows(".records", "This is no name")
    assert len(page.errors) == 1  # Chromium's own line about the answer 400
    page.errors.clear()
    await page.goto(f"{site.url}#name=www.example.org.")
    await page.shows(".chips", "In no zone of this server")


async def test_not_synced(page: Page, tmp_path: Path) -> None:
    """Before the first sync the page says what is waited for and what that means; then all comes of itself."""
    async with FakeApiServer() as api:
        api.put(build.namespace_json("shop"))
        api.put(build.service_json("web", namespace="shop", selector={"app": "web"}))
        for verb in ("list", "stream"):
            api.fault("services", verb, refuse(503, "ServiceUnavailable"), times=1)
        async with world(tmp_path, api, startup="50ms") as site:
            await page.goto(f"{site.url}#name=web.shop.svc.cluster.local.")
            await page.shows("#pulse", "Not synced")
            assert "Still waiting for Service" in await page.text("#notice")
            await page.shows(".chips", "Not synced yet")
            await page.shows("#pulse", "Synced")
            await page.until("document.getElementById('notice').hidden")
            await page.shows(".objects", "shop/web")


async def test_refused_resource(page: Page, tmp_path: Path) -> None:
    """A resource that may not be read, and one that is not served, are told apart, with what the API server said."""
    async with FakeApiServer(kubevirt=()) as api:
        api.forbidden.add("services")
        async with world(tmp_path, api, startup="50ms") as site:
            await page.goto(site.url)
            await page.shows("#overview", "Not allowed")
            await page.shows("#overview", "Not served")
            assert "forbidden: status 403" in await page.text("#overview")
            notice = await page.text("#notice")
            assert "Still waiting for Service." in notice  # and not for VMIs, which there need not be
            assert "Service is forbidden: status 403" in notice


async def test_disconnected(page: Page, tmp_path: Path) -> None:
    """A server that ends leaves what was known, and says so; once it is back the page goes on by itself."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with FakeApiServer() as api:
        api.put(build.namespace_json("shop"))
        api.put(build.service_json("web", namespace="shop", cluster_ip="10.96.0.8"))
        async with world(tmp_path, api, inspect=f"127.0.0.1:{port}") as site:
            await opened(page, site, "#name=web.shop.svc.cluster.local.")
            await page.shows(".records", "10.96.0.8")
        await page.shows("#pulse", "Disconnected")
        await page.shows("#notice", "has not answered since")
        assert "10.96.0.8" in await page.text(".records")
        api.put(build.service_json("web", namespace="shop", cluster_ip="10.96.0.9"))
        async with world(tmp_path, api, inspect=f"127.0.0.1:{port}"):
            await page.shows("#pulse", "Synced")
            await page.shows(".records", "10.96.0.9")
            assert await page.evaluate("document.getElementById('notice').hidden")
    assert all("ERR_CONNECTION_REFUSED" in one for one in page.errors)
    page.errors.clear()


@pytest.mark.parametrize("width", [360, 390, 768, 1920])
async def test_any_width(page: Page, site: World, width: int) -> None:
    """Nothing is wider than the window: the overview, results, and a name of every length."""
    long = f"{'x' * 63}.{'y' * 63}.{'z' * 63}.svc.cluster.local."
    await page.look_like(width, 800, still=True)
    await opened(page, site)
    assert await page.evaluate(FITS)
    await page.goto(f"{site.url}#q=web")
    await page.until(f"{RESULTS} === 50")
    assert await page.evaluate(FITS)
    await page.goto(f"{site.url}#q={long}&name={long}")
    await page.shows(".verdict", "NXDOMAIN")
    assert await page.evaluate(FITS)
    if width < 860:
        await page.click(".back")
        await page.until("document.getElementById('search').offsetParent !== null")
        assert await page.evaluate(FITS)


async def test_labels(page: Page, site: World) -> None:
    """What can be used has a name for those who do not see it, and each part of the page its role."""
    await opened(page, site, f"#q=web&name={WEB}")
    await page.shows(".explanation", "NOERROR")
    tree = (await page.call("Accessibility.getFullAXTree"))["nodes"]
    named = {(one["role"]["value"], one.get("name", {}).get("value", "")) for one in tree if not one["ignored"]}
    roles = {role for role, _ in named}
    assert {"banner", "main", "search", "combobox", "listbox", "option", "table", "article", "heading"} <= roles
    assert ("combobox", "Search names and addresses /") in named or ("combobox", "Search names and addresses") in named
    nameless = [role for role, name in named if role in ("combobox", "link", "button", "option", "image") and not name]
    assert nameless == []


@pytest.mark.skipif(not PICTURES, reason="pictures for the documentation are made by `make screenshots`")
@pytest.mark.timeout(150)  # the chart is of a whole minute
async def test_pictures(page: Page, site: World) -> None:
    """Takes the pictures of docs/page.md, of a server that has answered queries for a minute."""
    folder = Path(PICTURES)
    asking = asyncio.create_task(site.traffic())
    try:
        await page.look_like(1280, 800, still=True)
        await opened(page, site)
        await asyncio.sleep(62)
        await page.picture(folder / "page-overview.png")
        await page.look_like(1280, 800, dark=True, still=True)
        await page.goto(f"{site.url}#q=web-1&name={WEB}")
        await page.shows(".steps", "The VMI is Ready")
        await page.picture(folder / "page-name-dark.png")
        await page.look_like(1280, 800, still=True)
        await page.goto(f"{site.url}#q=runners-0&name={GONE}")
        await page.shows(".verdict", "GuestNotRunning")
        await page.picture(folder / "page-why.png")
        await page.look_like(390, 844, still=True)
        await page.goto(f"{site.url}#name={WEB}")
        await page.shows(".steps", "The VMI is Ready")
        await page.picture(folder / "page-narrow.png")
    finally:
        asking.cancel()
