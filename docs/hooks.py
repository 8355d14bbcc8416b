"""Adds what the project generates to the site: the report of the committed evidence."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Copy each ``results/<experiment>/report.html`` to ``reports/<experiment>.html``."""
    root = Path(config.config_file_path).parent
    for report in sorted((root / "results").glob("*/report.html")):
        place = f"reports/{report.parent.name}.html"
        files.append(File.generated(config, place, abs_src_path=str(report)))
    return files
