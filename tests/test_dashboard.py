"""The command saves both dashboards, or names what is missing."""

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


def test_without_records_it_says_what_comes_first(runs_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # before slow imports
    assert "no records and no verdicts in runs; next step" in ended()


def test_without_its_package_it_names_the_extra(trained, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        dashboard, "find_spec", lambda name: None if name == "wandb_workspaces" else find(name)
    )
    assert "pip install 'alexnet-ablations[dashboard]'" in ended()


def test_a_server_that_refuses_is_named(trained, wandb_server):
    wandb_server.refusal = 401
    message = ended()
    assert wandb_server.url in message
    assert "next step: `wandb login`" in message


def test_it_saves_both_and_prints_their_addresses(trained, wandb_server, capsys):
    dashboard.main([])
    workspace, report = capsys.readouterr().out.split()
    assert workspace.startswith(f"{wandb_server.url}/team/alexnet-ablations?nw=")
    assert report.startswith(f"{wandb_server.url}/team/alexnet-ablations/reports/")
    assert len(wandb_server.views) == len(wandb_server.reports) == 1
    assert wandb_server.runs == {}  # verdicts are no runs
