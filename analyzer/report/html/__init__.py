"""The report as one HTML file, and as a part of a notebook.

The file needs nothing else and runs no script: its Content-Security-Policy forbids every script, every request and
every style but its own. Jinja escapes whatever is not markup made here, after `printable` made it visible.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analyzer._version import __version__
from analyzer.report.chapters import document
from analyzer.report.document import LONG, visible
from analyzer.report.html import svg
from analyzer.report.text import number, percentage, printable

if TYPE_CHECKING:
    from jinja2 import Template

    from analyzer.report.document import Document
    from analyzer.report.model import Report


def render(report: Report) -> str:
    """Write a report as a page of its own."""
    return page(document(report))


def notebook(report: Report) -> str:
    """Write a report as a part of a notebook."""
    return fragment(document(report))


def page(shown: Document) -> str:
    """Write a document as a page of its own."""
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _template("page.html").render(
        document=shown, style=style, style_digest=digest, version=__version__, notebook=False
    )


def fragment(shown: Document) -> str:
    """Write a document as a part of another page: a notebook's cell."""
    return _template("fragment.html").render(document=shown, style=_style_of_a_part(), notebook=True)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("analyzer.report.html", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["safe_href"] = _safe_href
    environment.globals |= {"svg": svg, "LONG": LONG}
    environment.filters["kind"] = lambda part: type(part).__name__
    environment.filters["lines"] = _lines
    environment.filters["number"] = number
    environment.filters["percentage"] = percentage
    return environment


def _template(name: str) -> Template:
    return _environment().get_template(name)


@cache
def _style() -> Markup:
    return Markup(_template("style.css").render())  # noqa: S704 - a file of the package


@cache
def _style_of_a_part() -> Markup:
    """The style with the weight of an id, which no element has: notebooks style tables and texts by three classes."""
    return Markup(_style().replace(".logscan ", ".logscan:not(#logscan) "))  # noqa: S704 - as above


def _visible(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _lines(text: str) -> Markup:
    """Text of several lines, which keeps them."""
    return Markup("\n").join(printable(line) for line in text.splitlines())


def _safe_href(href: str) -> str:
    """An address of the web; of anything else nothing, for a rule file may say ``javascript:``."""
    return href if urlsplit(href).scheme in {"http", "https"} else ""
