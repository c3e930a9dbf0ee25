"""What mkdocs does besides, for ``make docs``: its hooks, as mkdocs.yml names them.

The Markdown files link each other as files of the repository, so that they can be read there. Here
README and others from outside docs/ become pages too, the C API's page is made of its header, and
links to sources lead to copies of these.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO / "tools"))

import c_api_page  # noqa: E402

# Files of the repository that are pages, or are shown by one.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "models/README.md": "models.md",
    "firmware_examples/README.md": "firmware-examples.md",
    "zephyr/samples/classify/README.md": "zephyr.md",
    "csrc/include/edgebert.h": "c-api.md",
}
SOURCES = "source"  # the folder of the site with the sources that pages link to

_LINK = re.compile(r"\]\(([^)#\s]+)((?:#[^)\s]*)?)\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from outside docs/."""
    for path, uri in PAGES.items():
        text = (REPO / path).read_text("utf-8")
        content = c_api_page.page(text) if path.endswith(".h") else text
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    here = page.file.src_uri
    origins = {uri: path for path, uri in PAGES.items()}
    folder = PurePosixPath(origins.get(here, f"docs/{here}")).parent

    def link(match: re.Match[str]) -> str:
        target, anchor = match.groups()
        path = os.path.normpath(folder / target)
        if ":" in target or not (REPO / path).exists():
            return match[0]  # elsewhere, or to be found missing by mkdocs
        uri = os.path.relpath(_uri(path, config, files), PurePosixPath(here).parent)
        return f"]({uri}{anchor})"

    return _LINK.sub(link, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Take the roles off names in docstrings, which are Sphinx's."""
    return re.sub(r":(?:attr|class|func|meth|mod):(?=<code>)", "", html)


def _uri(path: str, config: Any, files: Any) -> str:
    """Where a file of the repository is in the site; a folder is where its README is."""
    if (REPO / path).is_dir():
        path += "/README.md"
    uri = PAGES.get(path) or path.removeprefix("docs/")
    if path not in PAGES and not path.startswith("docs/"):
        uri = f"{SOURCES}/{path}"
        if uri not in files.src_uris:
            files.append(File.generated(config, uri, abs_src_path=str(REPO / path)))
    return uri
