"""A whole page: its head, its table of contents, its sections, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sparsecpu import __version__
from sparsecpu.experiments.report.html import (
    Html,
    Section,
    anchor,
    element,
    joined,
    paragraph,
    section,
    table,
)
from sparsecpu.experiments.report.looks import SCRIPT, STYLE


def page(title: str, lead: Any, sections: Iterable[Section]) -> str:
    """Return a page of sections, each with its heading; nothing in it leads out of the file."""
    known = list(sections)
    links = [element("li", element("a", s.heading, href=f"#{anchor(s.heading)}")) for s in known]
    made = datetime.now().astimezone().strftime("%d %B %Y, %H:%M")
    head = joined([
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(STYLE)),
    ])  # fmt: skip
    body = joined([
        element("header", element("h1", title), lead,
                element("nav", element("ul", *links), aria_label="Contents")),
        element("main", *known),
        element("footer", paragraph(f"Written by sparsecpu {__version__} on {made}.")),
        element("script", Html(SCRIPT)),
    ])  # fmt: skip
    html = element("html", element("head", head), element("body", body), lang="en")
    return f"<!DOCTYPE html>\n{html}\n"


def repeating(command: str, facts: list[tuple[str, Any]], *more: Any) -> Section:
    """Return the command that does it again, and with what it was done."""
    rows = [(name, value) for name, value in facts if value]
    return section(
        "Do it again",
        element("pre", element("code", command)),
        *more,
        table("Done with", ("what", "value"), rows, words=2),
    )
