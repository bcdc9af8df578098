"""How the site is built: ``sphinx-build -W docs docs/_build``."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "extensions"), str(HERE.parent)]

import sparsecpu  # noqa: E402

project = "sparsecpu"
author = "The sparsecpu developers"
copyright = "the sparsecpu developers, MIT licence"
version = release = sparsecpu.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "mathml",  # from here on our own, in docs/extensions
    "run_code",
    "show_code",
    "tables",
]
exclude_patterns = ["_build", "static", "extensions", "drawings"]
nitpicky = False

# Pages are Markdown; docstrings are reStructuredText.
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

# One page per module, which lists whatever the module's __all__ (or the module itself) has.
autosummary_generate = True
autosummary_imported_members = False
autosummary_ignore_module_all = False
autodoc_member_order = "groupwise"
autodoc_typehints = "none"  # numpydoc's Parameters say them
numpydoc_show_class_members = False

# Nothing is fetched by a reader's browser: fonts are the system's, formulas are MathML.
highlight_language = "text"
html_theme = "furo"
html_title = "sparsecpu"
html_static_path = ["static"]
html_css_files = ["site.css"]
toc_object_entries_show_parents = "hide"
html_show_sphinx = False
html_copy_source = False
templates_path = ["api/templates"]
pygments_style = "friendly"
pygments_dark_style = "github-dark"


def skip_member(app, kind, name, thing, skip, options):
    """Leave out the methods that scikit-learn generates for metadata routing."""
    return True if re.fullmatch(r"[sg]et_\w+_re(quest|uting)|get_metadata_routing", name) else None


def setup(app):
    """Connect what stands above."""
    app.connect("autodoc-skip-member", skip_member)
