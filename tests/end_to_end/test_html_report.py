"""A real Chromium opens reports of hostile logs: nothing runs, nothing is fetched, and everybody can read them."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from command import logscan
from end_to_end.servers import LOOPBACK, missing, program

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What each place of a line, a file name and a cluster file holds: it would mark the page if it ran or was fetched.
SCRIPT = (
    "</td></style><script>document.title='owned'</script><img src=http://192.0.2.1/x onerror=document.title='owned'>"
)
PATH = "/<svg/onload=document.title='owned'>"
SAMPLES = Path(__file__).parents[2] / "sample_logs"
WIDTHS = {"phone": 390, "desktop": 1280}
THEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Run Chromium without a window."""
    chromium = program("chromium", "Debian: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415
    except ImportError:
        missing("playwright is not installed (pip install --group test)")
    with sync_playwright() as playwright:
        # As root, as in a container, Chromium has no sandbox to offer.
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write the reports of a log that is hostile wherever it can be, and of sample logs."""
    folder = tmp_path_factory.mktemp("reports")
    (folder / "hostile.log").write_text(hostile_log())
    (folder / "<img src=x onerror=alert(1)>.log").write_text(hostile_log())
    (folder / "cluster.json").write_text(
        '{"kind": "List", "items": [{"kind": "Node", "metadata": {"name": "<script>alert(1)</script>"}, "status": '
        '{"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}]}'
    )
    ran = logscan(
        "analyze", "hostile.log", "*alert*.log", "--cluster", "cluster.json", "--format", "html", "-o", "hostile.html",
        cwd=folder,
    )  # fmt: skip
    assert ran.status == 0, ran.stderr
    assert "owned" in (folder / "hostile.html").read_text()
    samples = {}
    for name in ("cluster", "local", "cdn", "kong"):
        samples[name] = folder / f"{name}.html"
        log = SAMPLES / name
        cluster = ["--cluster", log / "cluster.json"] if (log / "cluster.json").exists() else []
        assert logscan("analyze", log, *cluster, "--format", "html", "-o", samples[name], cwd=folder).status == 0
    return {"hostile": folder / "hostile.html", **samples}


def hostile_log() -> str:
    """Lines whose user agents, paths and users are markup, lines that cannot be read, and a busy node."""
    agent = SCRIPT.replace('"', "'")
    lines = []
    for minute in range(60):
        for second in range(10):
            address = "10.0.0.1" if (minute + second) % 3 else f"81.2.69.{second}"
            lines.append(
                f'{address} - - [21/Nov/2026:07:{minute:02}:{second:02} +0000] "GET {PATH} HTTP/1.1" 200 612 "-" '
                f'"{agent}{second}" 88 0.004 [shop-web-8080] [] 10.244.1.7:8080 612 0.004 200 {"0" * 32}'
            )
        lines.append(f"{SCRIPT} {{{{7*7}}}} ${{7*7}} \x1b[2J \u202e")
    return "\n".join(lines) + "\n"


class Visit:
    """A page that was opened, and everything that it did."""

    def __init__(
        self, browser: Any, url: str, *, width: int = 1280, theme: str = "light", bypass: bool = False
    ) -> None:
        self.requests: list[str] = []
        self.said: list[str] = []
        context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=theme, bypass_csp=bypass)
        self.page = context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))
        self.page.goto(url)
        self.page.wait_for_load_state("networkidle")

    def close(self) -> None:
        """Close it with its context."""
        self.page.context.close()


def test_a_hostile_log_runs_nothing_and_fetches_nothing(browser: Any, reports: dict[str, Path]) -> None:
    """The page asks for itself alone, says nothing on the console, and what a log wrote stands there as text."""
    url = reports["hostile"].as_uri()
    for bypass in (False, True):  # harmless also where the policy does not help
        visit = Visit(browser, url, bypass=bypass)
        assert visit.requests == [url]
        assert visit.said == []
        assert "owned" not in visit.page.title()
        assert visit.page.locator("script, img, svg[onload]").count() == 0
        assert "<script>document.title='owned'</script>" in visit.page.inner_text("#input")
        assert "<img src=x onerror=alert(1)>.log" in visit.page.inner_text("#input")
        assert "<script>alert(1)</script>" in visit.page.inner_text("#addresses")
        visit.close()


def test_the_policy_of_the_page_stops_what_would_run(browser: Any, reports: dict[str, Path], tmp_path: Path) -> None:
    """Were there a hole in the escaping, the page's own policy would still stop scripts, styles and requests."""
    with socket.create_server((LOOPBACK, 0)) as fetched:
        fetched.settimeout(0)
        hole = (
            "<script>document.title='owned'</script><style>p{display:none}</style>"
            f"<img src=http://{LOOPBACK}:{fetched.getsockname()[1]}/x onerror=document.title='owned'>"
        )
        spoilt = tmp_path / "spoilt.html"
        spoilt.write_text(reports["hostile"].read_text().replace("</main>", f"{hole}</main>"))
        visit = Visit(browser, spoilt.as_uri())
        assert "owned" not in visit.page.title()
        assert visit.page.locator("main p").first.is_visible()
        assert len([text for text in visit.said if "Content Security Policy" in text]) >= 3
        with pytest.raises(BlockingIOError):
            fetched.accept()
        visit.close()


@pytest.mark.parametrize(("width", "theme"), [*zip(WIDTHS.values(), THEMES, strict=True)], ids=WIDTHS.keys())
def test_everybody_can_read_it(browser: Any, reports: dict[str, Path], width: int, theme: str) -> None:
    """The checks of axe find nothing, and the page is no wider than the screen."""
    try:
        from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415
    except ImportError:
        missing("axe-playwright-python is not installed (pip install --group test)")
    for report in reports.values():
        visit = Visit(browser, report.as_uri(), width=width, theme=theme, bypass=True)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        visit.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        found = Axe().run(visit.page).response["violations"]
        assert [(each["id"], each["impact"], each["nodes"][0]["html"]) for each in found] == []
        visit.close()


def test_the_keyboard_reaches_everything(browser: Any, reports: dict[str, Path]) -> None:
    """The first stop skips to the report; tables that scroll and lists that unfold can be reached."""
    visit = Visit(browser, reports["hostile"].as_uri(), width=WIDTHS["phone"])
    stops = []
    for _ in range(60):
        visit.page.keyboard.press("Tab")
        stops.append(visit.page.evaluate("document.activeElement.className || document.activeElement.tagName"))
    assert stops[0] == "skip"
    assert {"A", "SUMMARY", "scroll"} <= set(stops)
    visit.page.locator("#timeline summary").press("Enter")
    assert visit.page.locator("#timeline details table").is_visible()
    visit.close()


def test_paper_shows_the_folded_numbers(browser: Any, reports: dict[str, Path]) -> None:
    """In print nothing stays folded, and it is dark on light whatever the screen was."""
    visit = Visit(browser, reports["hostile"].as_uri(), theme="dark")
    visit.page.emulate_media(media="print", color_scheme="dark")
    assert visit.page.locator("details table").first.is_visible()
    assert visit.page.evaluate("getComputedStyle(document.querySelector('.share')).color") == "rgb(27, 32, 40)"
    assert len(visit.page.pdf()) > 10_000
    visit.close()
