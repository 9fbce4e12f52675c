"""How Sphinx builds the site: `make docs`. The pages are Markdown; `reference_pages.py` writes what the code knows."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parent))

import reference_pages

import streamdialer

project = author = html_title = "streamdialer"
release = version = streamdialer.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinxcontrib.mermaid"]

myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

html_theme = "shibuya"
html_theme_options = {"accent_color": "teal", "page_layout": "default", "globaltoc_expand_depth": 1}
html_copy_source = False


ROOT = Path(__file__).parents[1]
BESIDE = {"contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md", "security": "SECURITY.md"}


class Generated(SphinxDirective):
    """`{generated} NAME`: the Markdown that `reference_pages.NAME` writes."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The parsed text."""
        return self.parse_text_to_nodes(
            reference_pages.PAGES[self.arguments[0]](), allow_section_headings=True
        )


def point_into_the_site(app: Any, name: str, content: list[str]) -> None:
    """Three pages show files that stand beside docs/; links to these lead to the pages, and theirs into the site."""
    if name in BESIDE:
        content[0] = (ROOT / BESIDE[name]).read_text("utf-8").replace("](docs/", "](")
    up = "../" * name.count("/")
    for page, file in BESIDE.items():
        content[0] = re.sub(rf"\]\((?:\.\./)*{re.escape(file)}", f"]({up}{page}.md", content[0])


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_directive("generated", Generated)
    app.connect("source-read", point_into_the_site)
