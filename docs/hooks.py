"""Adds the reports of the finished studies to the site, and links to them."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

MARK = "<!-- reports -->"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Copy each ``results/<study>/report.html`` to ``reports/<study>.html``."""
    for report in _reports(config):
        place = f"reports/{report.parent.name}.html"
        files.append(File.generated(config, place, abs_src_path=str(report)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace ``<!-- reports -->`` with a link to each report; nothing if there is none."""
    names = [report.parent.name for report in _reports(config)]
    links = [f"- [{name}](reports/{name}.html)" for name in names]
    return markdown.replace(MARK, "\n".join(["Reports:", "", *links]) if links else "")


def _reports(config: MkDocsConfig) -> list[Path]:
    root = Path(config.config_file_path).parent
    return sorted((root / "results").glob("*/report.html"))
