"""Adds the reports of finished studies and the notebook to the site."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

MARK = "<!-- reports -->"
NOTEBOOK = "claim.ipynb"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Copy each ``results/<study>/report.html`` to ``reports/``, and make the notebook a page."""
    for report in _reports(config):
        place = f"reports/{report.parent.name}.html"
        files.append(File.generated(config, place, abs_src_path=str(report)))
    notebook = json.loads((Path(config.docs_dir) / NOTEBOOK).read_text())
    text, pictures = read_notebook(notebook)
    text += f"\n[This page as a notebook]({NOTEBOOK})\n"
    files.append(File.generated(config, "notebook.md", content=text))
    for name, picture in pictures.items():
        files.append(File.generated(config, name, content=picture))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace ``<!-- reports -->`` with a link to each report; nothing if there is none."""
    names = [report.parent.name for report in _reports(config)]
    links = [f"- [{name}](reports/{name}.html)" for name in names]
    return markdown.replace(MARK, "\n".join(["Reports:", "", *links]) if links else "")


def read_notebook(notebook: dict[str, Any]) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown with the outputs that are stored in it.

    Args:
        notebook: The content of its file.

    Returns:
        The page, and its pictures by file name.
    """
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            if text := "".join(output.get("text", "")).strip("\n"):
                parts.append(f"```text\n{text}\n```")
            if picture := output.get("data", {}).get("image/png"):
                name = f"notebook-{len(pictures)}.png"
                pictures[name] = b64decode(picture)
                parts.append(f"![Output of the cell above]({name})")
    return "\n\n".join(parts) + "\n", pictures


def _reports(config: MkDocsConfig) -> list[Path]:
    return sorted((_root(config) / "results").glob("*/report.html"))


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent
