"""The tables and figures for other programs."""

import csv
import io
import re
from pathlib import Path
from statistics import mean

import pytest
from records import make_result

from ablations.reporting.claims import rows_of
from ablations.reporting.documents import latex, verdicts_tex
from ablations.reporting.evidence import gather
from ablations.reporting.exports import runs_csv, verdicts_csv
from ablations.reporting.tables import arms_table
from ablations.words import mean_sd

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sharing.md"


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# Tables


def test_every_column_is_documented(written):
    documented = [
        re.findall(r"`(\w+)`", row)
        for part in PAGE.read_text().split("\n### ")[1:]
        for row in re.findall(r"^\| (`[^|]+)\|", part, re.MULTILINE)
    ]
    evidence = gather(written)
    columns = [*lines(runs_csv(evidence))[0], *lines(verdicts_csv(evidence))[0]]
    assert [name for names in documented for name in names] == columns


def test_runs_have_the_numbers_of_the_table_of_arms(study):
    study.add(0.25, 200, status="diverged")
    evidence = gather(study.path)
    found = lines(runs_csv(evidence))
    (section,) = evidence.sections
    assert [line["run_id"] for line in found] == [run.run_id for run in section.runs]
    for row in arms_table(section)[1]:
        errors = [100 * float(line["center_top1"]) for line in found if line["arm"] == row[0]]
        assert mean_sd(errors) == row[3]
    (diverged,) = [line for line in found if line["status"] == "diverged"]
    assert diverged["center_loss"] == ""
    exact = next(run for run in section.runs if run.train)
    line = next(line for line in found if line["run_id"] == exact.run_id)
    assert float(line["train_loss"]) == exact.train.loss


def test_verdicts_have_the_rows_of_the_report_in_the_readers_unit(written):
    evidence = gather(written)
    (section,) = evidence.sections
    found = lines(verdicts_csv(evidence))
    rows = [row for result in [*section.shown, *section.excluded] for row in rows_of(result)]
    assert [(line["label"], int(line["n"])) for line in found] == [
        (r.result.word, r.result.n) for r in rows
    ]
    by_name = {(line["claim"], line["part"]): line for line in found}
    lrn = by_name["lrn_lowers_error", ""]
    low, estimate, high = (float(lrn[name]) for name in ("low", "estimate", "high"))
    assert (f"{low:.3f}", f"{estimate:.3f}", f"{high:.3f}") == ("1.113", "1.120", "1.127")
    assert lrn["unit"] == "ratio"
    assert float(lrn["paper"]) == pytest.approx(1.017**2)
    gap = by_name["dropout_curbs_overfitting", "gap"]
    assert gap["unit"] == "% of the test error"
    assert -31 < float(gap["estimate"]) < -29
    # No effect is said from the interval of the two tests.
    none = next(r for r in section.shown if r.word == "no effect here").verdicts[0]
    line = by_name["color_augmentation_lowers_error", ""]
    assert float(line["low"]) == pytest.approx(2.718281828459045**none.inner_low)
    assert by_name["relu_trains_faster_than_tanh", ""]["high"] == ""
    assert by_name["ensembles_lower_error", ""]["label"] == "excluded"


def test_the_page_reads_the_tables_with_pandas(study, tmp_path, monkeypatch, capsys):
    pytest.importorskip("pandas")
    evidence = gather(study.path)
    (tmp_path / "runs.csv").write_text(runs_csv(evidence))
    (tmp_path / "verdicts.csv").write_text(verdicts_csv(evidence))
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(code, {})
    shown = capsys.readouterr().out
    (section,) = evidence.sections
    errors = [run.test_error("center", 1) for run in section.arms[0].runs]
    assert f"{mean(errors):.6f}" in shown
    assert "lrn_lowers_error" in shown


# LaTeX


def cells_of(text: str) -> list[list[str]]:
    """The rows of the tables, as cells."""
    rows = [row.strip() for row in text.splitlines() if row.endswith(r"\\")]
    return [re.split(r"(?<!\\)&", row.removesuffix(r"\\")) for row in rows]


def test_the_latex_table_has_a_row_for_each_row_of_the_report(written):
    evidence = gather(written)
    (section,) = evidence.sections
    text = verdicts_tex(evidence)
    head, *rows = cells_of(text)
    shown = [row for result in section.shown for row in rows_of(result)]
    assert [cells[-1].strip() for cells in rows] == [latex(row.result.word) for row in shown]
    assert [cells[3].strip() for cells in rows] == [latex(row.ours) for row in shown]
    assert {len(cells) for cells in [head, *rows]} == {6}
    for name in ("table", "tabular"):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}") == 1
    assert text.count(r"\midrule") == len(section.groups)
    assert text.count("{") == text.count("}")
    assert text.isascii()


def test_text_from_files_is_text_in_latex(folder):
    hostile = "\\input{x} $a$ 5 % & #1 _b ^c ~d {e [f]"
    folder.add(0.25, 100)
    claim = make_result("a", {hostile: ([0.3] * 3, [0.2, 0.21, 0.22])}, section=hostile)
    folder.study(claim, title=hostile, dataset=hostile)
    text = verdicts_tex(gather(folder.path))
    assert r"\input" not in text
    assert text.count(latex(hostile)) == 3  # section, title and data
    assert {len(cells) for cells in cells_of(text)} == {6}
    unescaped = re.sub(r"\\[%&#_${}]|\$\^\*\$|\$n\$|\$\\?\w+\$", "", text)
    assert "$" not in unescaped
    assert re.findall(r"^[^%\n]+%", unescaped, re.MULTILINE) == []
    assert unescaped.count("{") == unescaped.count("}")
