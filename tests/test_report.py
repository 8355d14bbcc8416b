import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from records import make_result, save_study

from ablations.report import main, report
from ablations.reporting import pictures
from ablations.reporting.evidence import gather

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def runs(finished, runs_dir) -> Path:
    """A folder with the tiny run in it."""
    shutil.copytree(finished, runs_dir / finished.name)
    return runs_dir


def test_a_folder_of_runs_becomes_a_report(runs, tmp_path):
    written = report(gather(runs), tmp_path / "here")
    names = ["RESULTS.md", "report.html", "runs.csv"]
    drawn = ("gaps", "train", "val")
    names += [f"smoke-{figure}.{kind}" for figure in drawn for kind in ("svg", "pdf")]
    assert [path.name for path in written] == names
    html = written[1].read_text()
    assert "First kernels" in html
    assert "Most probable classes" in html
    assert "Nearest in the last hidden layer" in html
    assert "No verdicts yet" in html
    assert html.count('<figure class="plot">') == 2


def test_the_same_runs_give_the_same_files(runs, tmp_path):
    save_study(runs, [make_result("a", {"": ([0.28, 0.281, 0.279], [0.25, 0.251, 0.25])})])
    first, second = (
        {p.name: p.read_bytes() for p in report(gather(runs), tmp_path / to)} for to in "ab"
    )
    assert first == second
    assert {"verdicts.csv", "verdicts.tex", "small-forest.pdf", "small-a-seeds.svg"} <= first.keys()


def test_the_command_writes_beside_the_runs_and_names_the_files(runs, capsys):
    main(["--output", str(runs), "--no-pictures"])
    out = capsys.readouterr().out
    assert str(runs / "RESULTS.md") in out
    assert str(runs / "report.html") in out
    assert f"{runs / 'figures'} (6 files)" in out
    assert "First kernels" not in (runs / "report.html").read_text()
    main(["--output", str(runs), "--no-pictures", "--no-figures"])
    assert "figures" not in capsys.readouterr().out


def test_missing_checkpoints_are_told(runs, tmp_path):
    for path in runs.glob("*/last.ckpt"):
        path.unlink()
    for path in report(gather(runs), tmp_path)[:2]:
        assert "no run has a checkpoint here" in path.read_text()


def test_a_target_that_cannot_be_written_is_named_before_any_picture(runs, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(pictures, "draw", None)
    with pytest.raises(SystemExit, match=r"error: --to .*file: cannot write there .* --to FOLDER"):
        main(["--output", str(runs), "--to", str(tmp_path / "file")])


CLAIM = {"": ([0.28, 0.281, 0.279], [0.25, 0.251, 0.25])}
WEAKER = {"": ([0.28, 0.281, 0.279], [0.279, 0.28, 0.28])}


@pytest.fixture
def two(tmp_path, monkeypatch) -> list[Path]:
    """The folders of two studies of one name, which differ in a claim."""
    monkeypatch.chdir(tmp_path)
    folders = [Path("first/runs"), Path("second/runs")]
    for folder in folders:
        folder.mkdir(parents=True)
    save_study(folders[0], [make_result("shared", CLAIM)])
    save_study(folders[1], [make_result("shared", WEAKER), make_result("b", CLAIM)])
    return folders


def test_two_folders_are_compared_claim_by_claim(two):
    main([*map(str, two), "--no-pictures"])
    markdown, html, verdicts = (
        (Path("comparison") / name).read_text()
        for name in ("RESULTS.md", "report.html", "verdicts.csv")
    )
    head = "| claim | § | paper | Small study (first/runs) | Small study (second/runs) |"
    rows = markdown.partition(head)[2].splitlines()[2:4]
    only, both = ([cell.strip() for cell in row.split("|")[1:-1]] for row in rows)
    assert only[0] == "B"
    assert only[3] == "–"
    assert "holds here; 1.119×" in only[4]
    assert both[3].startswith("holds here; 1.119×")
    assert "], 3 pairs" in both[3]
    assert not both[4].startswith("holds here")
    assert 'href="#folder1-small-shared"' in html
    assert 'href="#folder2-small-shared"' in html
    assert "\nsecond/runs/small," in verdicts
    assert {"folder1-small-forest.svg", "folder2-small-forest.svg"} <= {
        path.name for path in Path("comparison/figures").iterdir()
    }


def test_the_command_counts_the_claims_that_are_not_decided(tmp_path, capsys):
    results = [make_result("a", CLAIM), make_result("b", {}, label="", differences={})]
    save_study(tmp_path, results)
    main(["--output", str(tmp_path), "--no-pictures", "--no-figures"])
    line = capsys.readouterr().out.splitlines()[1]
    assert line == "  1 claim not decided; next step: repeat reproduce.py"


def test_without_pictures_no_torch_is_imported(runs):
    code = (
        "import sys; from ablations.report import main; "
        f"main(['--output', {str(runs)!r}, '--no-pictures']); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
