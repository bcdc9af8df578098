"""Tell tables of words from tables of numbers: cells of words may break into lines, others not."""

from docutils import nodes

#: A cell with more characters than this holds words.
LONG = 40


def mark(app, doctree: nodes.document) -> None:
    """Give tables that hold words the class ``words``, which ``site.css`` knows."""
    for table in doctree.findall(nodes.table):
        if any(len(cell.astext()) > LONG for cell in table.findall(nodes.entry)):
            table["classes"].append("words")


def setup(app) -> dict:
    """Look at every page once it is read."""
    app.connect("doctree-read", mark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
