"""HTML put together from elements, in which every text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

#: Control characters, which no page may hold, become the sign for what cannot be shown.
_CONTROL = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}
#: Elements without content and without an end.
_VOID = {"meta", "img", "br"}
#: Names of more characters are broken where there is no room.
_LONG = 30
#: Rows of a table that is there for those who want numbers.
_ROWS = 60


class Html(str):
    """Text that is HTML already."""


class Section(Html):
    """A section of a page, which knows its heading."""

    heading = ""


def escaped(value: Any) -> Html:
    """Return a value as HTML: as it is if that is HTML, else escaped."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(str(value).translate(_CONTROL)))


def joined(parts: Iterable[Any]) -> Html:
    """Return values behind one another; None and False are left out."""
    return Html("".join(escaped(part) for part in parts if part is not None and part is not False))


def element(name: str, /, *content: Any, **attributes: Any) -> Html:
    """Return an element; attributes of None are left out, and ``class_`` is a class.

    Underlines in other names stand for hyphens, but for those of SVG, which has capitals.
    """
    found = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{found}>")
    return Html(f"<{name}{found}>{joined(content)}</{name}>")


def section(heading: str, *content: Any) -> Section:
    """Return a section of a page, which its table of contents can lead to."""
    name = anchor(heading)
    title = element("h2", heading, id=name)
    made = Section(element("section", title, *content, aria_labelledby=name))
    made.heading = heading
    return made


def anchor(heading: str) -> str:
    """Return what links call a section."""
    return "-".join("".join(c if c.isalnum() else " " for c in heading.lower()).split())


def paragraph(*content: Any, **attributes: Any) -> Html:
    """Return a paragraph."""
    return element("p", *content, **attributes)


def note(*content: Any) -> Html:
    """Return a paragraph that says what to know about what stands above it."""
    return element("p", *content, class_="note")


def table(
    caption: str, heads: Sequence[Any], rows: Iterable[Sequence[Any]], *, words: int = 1
) -> Html:
    """Return a table, whose first column names its rows; numbers stand right.

    The first ``words`` columns are words, and others where a cell says so. A wide table scrolls by
    itself, the page does not.
    """
    body, wordy = [], set(range(words))
    for first, *others in rows:
        long = " long" if len(str(first)) > _LONG else ""
        cells = [element("th", first, scope="row", class_=f"word{long}")]
        for at, text in enumerate(others, start=1):
            if isinstance(text, Html) and text.startswith("<td"):
                wordy |= {at} if text.startswith('<td class="word') else set()
                cells.append(text)
            else:
                cells.append(element("td", text, class_="word long" if at < words else None))
        body.append(element("tr", *cells))
    head = [
        element("th", text, scope="col", class_="word" if at in wordy else None)
        for at, text in enumerate(heads)
    ]
    made = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *head)),
        element("tbody", *body),
    )
    return element("div", made, class_="wide", tabindex="0", role="group", aria_label=caption)


def numbers_of(caption: str, heads: Sequence[Any], rows: Sequence[Sequence[Any]]) -> Html:
    """Return numbers behind a picture, folded up, and no more of them than one reads."""
    shown = [rows[at] for at in spread(len(rows), _ROWS)]
    if len(shown) < len(rows):
        caption += f" ({len(shown)} of {len(rows):,} rows)"
    return element("details", element("summary", "Numbers"), table(caption, heads, shown))


def spread(count: int, most: int) -> list[int]:
    """Return at most so many of ``count`` places, evenly spread, first and last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(at * (count - 1) / (most - 1)) for at in range(most)})
