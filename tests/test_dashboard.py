"""The command builds, prints and sends, or names what is missing."""

import importlib.util
import shutil
import sys

import pytest

from ablations import dashboard


def ended(*arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        dashboard.main(arguments)
    return str(stopped.value.code)


@pytest.fixture
def trained(finished, record, runs_dir):
    shutil.copytree(finished, runs_dir / record.run_id)
    return runs_dir


def test_the_outline_needs_no_server(trained, capsys):
    dashboard.main(["--print"])
    assert "workspace AlexNet ablations" in capsys.readouterr().out


def test_without_records_it_says_what_comes_first(runs_dir, monkeypatch):
    # Before slow imports.
    for name in ("board.layout", "board.sync"):
        monkeypatch.setitem(sys.modules, f"ablations.{name}", None)
    for arguments in (["--print"], ["--sync"], []):
        assert "no records and no verdicts in runs; next step" in ended(*arguments)


def test_without_its_package_it_names_the_extra(trained, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        dashboard, "find_spec", lambda name: None if name == "wandb_workspaces" else find(name)
    )
    assert "pip install 'alexnet-ablations[dashboard]'" in ended("--print")


def test_without_a_login_it_names_the_next_step(trained, monkeypatch):
    monkeypatch.setattr("wandb.login", lambda **options: False)
    for name in ("board.layout", "board.sync"):
        monkeypatch.setitem(sys.modules, f"ablations.{name}", None)
    assert "`wandb login`" in ended()
    assert "`wandb login`" in ended("--sync")


@pytest.mark.parametrize("words", [("--checkpoints",), ("--print", "--sync")])
def test_words_that_do_not_go_together_are_refused(words):
    assert ended(*words) == "2"


def test_it_sends_builds_and_says_where(trained, wandb_server, capsys):
    dashboard.main(["--sync"])
    shown = capsys.readouterr().out
    assert "sent 1 to team/alexnet-ablations; 0 were there already" in shown
    assert f"{wandb_server.url}/team/alexnet-ablations/reports/" in shown
    assert len(wandb_server.views) == len(wandb_server.reports) == 1


def test_sweeps_for_agents_go_into_a_folder_of_the_users(tmp_path, capsys):
    dashboard.main(["--agents", str(tmp_path / "agents")])
    written = sorted((tmp_path / "agents").iterdir())
    assert sorted(capsys.readouterr().out.split()) == [str(path) for path in written]
    assert any(path.name.startswith("demo-") for path in written)
    assert ended("--agents") == "2"


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    assert "--agents" in ended("--agents", str(tmp_path / "file"))
