"""A few lines that write SVG: boxes, words and arrows, in colours for light and dark pages."""

from pathlib import Path

GREY, BLUE, ORANGE, GREEN = "#767e89", "#3b82c4", "#d0702a", "#3f9a5f"


class Drawing:
    """An SVG picture of a given size, without a background."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.size, self.title, self.parts = (width, height), title, []

    def box(self, x, y, width, height, color=GREY, fill=0.0, dashed=False) -> None:
        """Draw a rectangle, filled to some opacity."""
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="2" '
            f'stroke="{color}" fill="{color}" fill-opacity="{fill:g}"{dash}/>'
        )

    def grid(self, x, y, rows, columns, cell, color=GREY) -> None:
        """Draw empty square cells."""
        for i in range(rows):
            for j in range(columns):
                self.box(x + j * cell, y + i * cell, cell, cell, color)

    def line(self, points, color=GREY, arrow=False, dashed=False) -> None:
        """Draw a line through points, with a head at its end if it is an arrow."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        head = f' marker-end="url(#head-{color[1:]})"' if arrow else ""
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self.parts.append(f'<polyline points="{path}" stroke="{color}" fill="none"{head}{dash}/>')

    def words(self, x, y, text, color=GREY, size=14, anchor="start", bold=False) -> None:
        """Write a line of text; ``anchor`` says which part of it stands at x."""
        weight = ' font-weight="bold"' if bold else ""
        text = text.replace("&", "&amp;").replace("<", "&lt;")
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" fill="{color}" stroke="none" font-size="{size}" '
            f'text-anchor="{anchor}"{weight}>{text}</text>'
        )

    def text(self) -> str:
        """Return the picture as SVG."""
        width, height = self.size
        heads = "".join(
            f'<marker id="head-{color[1:]}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{color}" stroke="none"/>'
            "</marker>"
            for color in (GREY, BLUE, ORANGE, GREEN)
        )
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
                f'width="{width}" height="{height}" font-family="sans-serif" stroke-width="1.2" '
                'role="img">',
                f"<title>{self.title}</title>",
                f"<defs>{heads}</defs>",
                *self.parts,
                "</svg>\n",
            ]
        )

    def save(self, script: str) -> None:
        """Write it beside the script that draws it, under the same name."""
        Path(script).with_suffix(".svg").write_text(self.text())
