"""Run the code on a page while the page is built, and print what it prints.

A page that begins with ``execute: true`` has its Python blocks run one after the other, as one
program; what a block prints stands below it. ``{example} NAME`` shows ``examples/NAME.py``, what it
prints, and the pictures that it draws. A program that fails breaks the build.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective
from sphinx.util.logging import getLogger

ROOT = Path(__file__).parents[2]
#: Printed after each block of a page, so that its output can be told from the next one's.
MARK = "\x1e"
log = getLogger(__name__)


def run(command: list, where: Path) -> tuple[str, str]:
    """Run Python in a folder; return what it printed and, where it failed, its error."""
    paths = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "ignore",
        "OMP_WAIT_POLICY": "PASSIVE",  # several programs may share the cores
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=where, env=environment, capture_output=True,
        text=True, timeout=600, check=False,
    )  # fmt: skip
    return done.stdout, done.stderr if done.returncode else ""


def printed(text: str) -> nodes.literal_block:
    """Return a block that shows what a program printed."""
    block = nodes.literal_block(text, text, classes=["printed"])
    block["language"] = "text"
    return block


def execute_page(app, doctree: nodes.document) -> None:
    """Run the Python blocks of a page that wants it, and put their output below them."""
    page = app.env.docname
    if not app.env.metadata[page].get("execute"):
        return
    blocks = [b for b in doctree.findall(nodes.literal_block) if b.get("language") == "python"]
    program = f"\nprint({MARK!r}, end='')\n".join(block.astext() for block in blocks)
    where = folder(app)
    script = where / f"{page.replace('/', '-')}.py"
    script.write_text(program)
    output, error = run([script], where)
    if error:
        log.warning("the code of this page fails:\n%s", error[-2000:], location=page)
    for block, text in zip(blocks, output.split(MARK), strict=False):
        if text.strip():
            block.parent.insert(block.parent.index(block) + 1, printed(text.rstrip()))


def folder(app) -> Path:
    """Return the folder that programs write to."""
    where = Path(app.doctreedir) / "run"
    where.mkdir(parents=True, exist_ok=True)
    return where


class Example(SphinxDirective):
    """A script of ``examples/``: its source, what it prints and what it draws."""

    required_arguments = 1
    option_spec: ClassVar = {
        "arguments": directives.unchanged,  # after the folder that pictures go to
        "needs": directives.unchanged,  # a package; without it a recorded output is shown
        "pictures": directives.unchanged,  # what it draws, described: alternative text
    }

    def run(self) -> list[nodes.Node]:
        """Run the script and return what the page shows."""
        name = self.arguments[0]
        script = Path(self.env.srcdir) / "examples" / f"{name}.py"
        self.env.note_dependency(str(script))
        needs, where = self.options.get("needs"), folder(self.env.app)
        said = f"$ python {name}.py"
        if needs and not importlib.util.find_spec(needs):
            output = script.with_suffix(".txt").read_text()
            note = f"Recorded earlier: this page was built without {needs}."
        else:
            arguments = self.options.get("arguments", "").split()
            if arguments:
                said += " . " + " ".join(arguments)
            output, error = run([script, where, *arguments], where)
            output = output.replace(f"{where}{os.sep}", "")
            note = "Printed while this page was built:"
            if error:
                log.warning("%s fails:\n%s", script.name, error[-2000:], location=self.env.docname)
        source = nodes.literal_block("", script.read_text())
        source["language"] = "python"
        parts = [nodes.paragraph("", note), printed(f"{said}\n{output.rstrip()}")]
        drawn = [line.split()[1] for line in output.splitlines() if line.startswith("drawn: ")]
        parts += [self.picture(where / name) for name in drawn]
        return [*parts, nodes.paragraph("", "The script:"), source]

    def picture(self, path: Path) -> nodes.Node:
        """Return an image of a file that the script has drawn."""
        place = os.path.relpath(path, self.env.srcdir)
        return nodes.image(
            uri=f"/{place}", alt=self.options.get("pictures", path.name), classes=["on-white"]
        )


def setup(app) -> dict:
    """Register both."""
    app.connect("doctree-read", execute_page)
    app.add_directive("example", Example)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
