import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ablations import composition
from ablations.config import Config, ConfigError, Run, Schedule
from ablations.errors import RunsFailed
from ablations.keys import keys
from ablations.launch import task
from ablations.techniques import Dropout, Pooling

RUN = Path(composition.__file__).with_name("run.py")

Answer = tuple[list[tuple[Config, Run]], object]
Ask = Callable[..., Answer]


@pytest.fixture
def ask(monkeypatch) -> Ask:
    """Gives arguments to the command; returns what it would plan, and the exit code."""
    planned: list[tuple[Config, Run]] = []

    def plan(configs, report):
        planned.extend([pair for pair in configs if pair[0].run])
        sys.exit(0)

    monkeypatch.setattr(task, "make_plan", plan)

    def ask(*arguments: str) -> Answer:
        planned.clear()
        code = command(monkeypatch, task.train_one, *arguments)
        return list(planned), code

    return ask


def command(monkeypatch, function: Callable, *arguments: str) -> object:
    """Exit code of a Hydra application with these arguments."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    try:
        composition.main(function)
    except SystemExit as stopped:
        return stopped.code
    return 0


# What is right


def test_no_argument_is_the_papers_run(ask: Ask):
    ((config, base),), code = ask()
    assert code == 0
    assert config.run == base
    assert (config.experiment, config.seed, config.pooling) == ("smoke", 0, Pooling.overlap)


def test_a_sweep_is_the_product_of_its_values_in_order(ask: Ask):
    jobs, _ = ask("-m", "pooling=overlap,nonoverlap", "seed=0,1")
    assert [(config.pooling.value, config.seed) for config, _ in jobs] == [
        ("overlap", 0),
        ("overlap", 1),
        ("nonoverlap", 0),
        ("nonoverlap", 1),
    ]
    assert len({base.run_id for _, base in jobs}) == 1


def test_a_key_given_twice_keeps_its_last_value(ask: Ask):
    jobs, _ = ask("-m", "seed=0,1", "seed=2")
    assert {config.seed for config, _ in jobs} == {2}


def test_what_refers_to_a_key_follows_it_in_a_sweep(ask: Ask, tmp_path: Path):
    where = experiment_file(tmp_path, "replicate: ${seed}")
    jobs, _ = ask("-m", *where, "seed=3,4")
    assert [config.replicate for config, _ in jobs] == [3, 4]


def test_options_stand_before_or_after_all_overrides(ask: Ask):
    assert ask("-m", "pooling=nonoverlap", "seed=0,1") == ask(
        "pooling=nonoverlap", "seed=0,1", "-m"
    )
    assert ask("pooling=nonoverlap", "-m", "seed=0,1") == ([], 2)


@pytest.mark.parametrize("words", [[], ["-m"]], ids=["run", "sweep"])
def test_an_arm_is_compared_with_its_experiment(words: list[str], ask: Ask):
    asked = ["experiment=cifar10_small", "pooling=nonoverlap", "recipe.lr=0.02"]
    ((config, base),), _ = ask(*words, *asked)
    assert config == composition.compose(asked)
    assert base == composition.compose(["experiment=cifar10_small"]).run != config.run
    assert base.recipe.schedule is Schedule.step


def test_a_sweep_over_experiments_and_lists(ask: Ask):
    words = ("experiment=smoke,cifar10_small", "recipe.milestones=[0.1,0.2],[0.3]")
    jobs, _ = ask("-m", *words)
    assert [(config.experiment, config.recipe.milestones) for config, _ in jobs] == [
        (name, part) for name in ("smoke", "cifar10_small") for part in ([0.1, 0.2], [0.3])
    ]
    assert [base.data.crop == jobs[0][1].data.crop for _, base in jobs] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("value", ["on", "off", "'on'", '"off"'])
def test_on_and_off_are_words_on_the_command_line(value: str, ask: Ask):
    ((config, _),), code = ask(f"dropout={value}")
    assert code == 0
    assert config.dropout is Dropout(value.strip("'\""))


def test_on_and_off_sweep(ask: Ask):
    jobs, _ = ask("-m", "dropout=on,off")
    assert [config.dropout for config, _ in jobs] == [Dropout.on, Dropout.off]


@pytest.mark.parametrize("line", ['dropout: "off"', "dropout: 'off'"])
def test_a_quoted_off_in_a_file(line: str, ask: Ask, tmp_path: Path):
    (config, code) = ask(*experiment_file(tmp_path, line))
    assert code == 0
    assert config[0][0].dropout is Dropout.off


def test_a_seed_range_and_seed_0(ask: Ask):
    jobs, _ = ask("-m", "seed=range(3)")
    assert [config.seed for config, _ in jobs] == [0, 1, 2]


def test_a_whole_number_is_a_number(ask: Ask):
    # Otherwise the same run would have two names.
    ((one, _),), _ = ask("recipe.lr=1", "width=1")
    ((other, _),), _ = ask("recipe.lr=1.0", "width=1.0")
    assert one.run.run_id == other.run.run_id


def test_compose_gives_what_the_command_line_gives(ask: Ask):
    overrides = ["pooling=nonoverlap", "seed=3", "trainer=ddp"]
    ((config, _),), _ = ask(*overrides)
    assert composition.compose(overrides) == config
    assert config.trainer.devices == 2


def test_compose_explains_too():
    with pytest.raises(ConfigError, match=r"^pooling=overlaps is not valid; pooling takes"):
        composition.compose(["pooling=overlaps"])
    with pytest.raises(ConfigError, match=r"did you mean pooling"):
        composition.compose(["poolings=overlap"])


# What is wrong: one line, the valid values, exit code 1


def experiment_file(tmp_path: Path, line: str) -> tuple[str, str]:
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(f"# @package _global_\nexperiment: mine\n{line}\n")
    return f"hydra.searchpath=[file://{tmp_path / 'conf'}]", "experiment=mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pooling=overlaps"], "pooling=overlaps is not valid; pooling takes overlap | nonoverlap"),
        (["pooling=null"], "pooling"),
        (["+foo=1"], "there is no key `foo`"),
        (["foo=1"], "there is no key `foo`"),
        (["++foo=1"], "there is no key `foo`"),
        (["+recipe.foo=1"], "there is no key `recipe.foo`"),
        (["poolign=overlap"], "there is no key `poolign`; did you mean pooling?"),
        (["recipe.learning_rate=1"], "there is no key `recipe.learning_rate`; did you mean"),
        (["lr=0.1"], "there is no key `lr`; did you mean recipe.lr"),
        (["devices=2"], "there is no key `devices`; did you mean trainer.devices"),
        (["seed=abc"], "seed=abc is not valid; seed takes a whole number"),
        (["seed=1.5"], "seed=1.5 is not valid; seed takes a whole number"),
        (["seed=null"], "seed"),
        (["recipe.lr=fast"], "recipe.lr=fast is not valid; recipe.lr takes a number"),
        (["recipe=fast"], "recipe"),
        (["recipe.milestones=0.5"], "recipe.milestones: a list in brackets goes here"),
        (
            ["fast_dev_run=maybe"],
            "fast_dev_run=maybe is not valid; fast_dev_run takes true | false",
        ),
        (["experiment=cifar"], "experiment=cifar does not exist; experiment takes cifar10"),
        (["trainer=tpu"], "trainer=tpu does not exist; trainer takes"),
        (["logger=wandbb"], "logger=wandbb does not exist; logger takes csv"),
        (["recipe.lr=0"], "recipe.lr=0.0: must be above 0"),
        (["recipe.schedule=step"], "recipe.schedule=step needs recipe.milestones"),
        (["data.crop=64"], "data.crop=64: must be between 8 and data.size=32"),
        (["seed=-1"], "seed=-1: must be a whole number, 0 or more"),
        (["pooling=overlap,nonoverlap"], "pooling=overlap,nonoverlap: one value goes here"),
        (["seed=range(3)"], "seed=range(3): one value goes here; several are a sweep"),
        (["data.train=a,b"], "a list is in brackets, data.train=[a,b]"),
        (["pooling"], "`pooling` cannot be read: an override is KEY=VALUE"),
        (["-m", "pooling=overlap,"], "`pooling=overlap,` cannot be read"),
        (["data.path=/a (b)/c"], "`data.path=/a (b)/c` cannot be read"),
        (["pooling=[overlap]"], "pooling: one value goes here, without brackets; pooling takes"),
        (["-m", "pooling=[overlap,nonoverlap]"], "nonoverlap; for a sweep -m pooling=A,B"),
        (["--pooling=overlap"], "--pooling=overlap: an override has no dashes; pooling=overlap"),
        (["--trainer", "cpu"], "--trainer: an override has no dashes; trainer=VALUE"),
        (
            ["data.train=a"],
            "data.train: a list in brackets goes here; data.train takes a",
        ),
        (["-m", "seed=0,1", "pooling=overlap,overlaps"], "pooling=overlaps is not valid"),
        (["-m", "seed=0,1,2,3,4,5,abc"], "seed=abc is not valid"),
        (["-m", "seed=0,1,-1"], "seed=-1: must be a whole number, 0 or more"),
        (["-m", "seed=range(0)"], "a key of the sweep has no value"),
        (["-m", "pooling=glob(*)"], "a key of the sweep has no value"),
        (["-m", "output=a,b"], "output: all runs of a sweep share it; give one value"),
        (["-m", "cache=a,b"], "cache: all runs of a sweep share it"),
        (["-m", "logger=none,csv"], "logger: all runs of a sweep share it"),
        (["-m", "fast_dev_run=true,false", "seed=0,1"], "fast_dev_run: all runs of a sweep share"),
        (["-m", "print_model=true,false"], "print_model: all runs of a sweep share it"),
        (["-m", "recipe.lr=interval(0.1,0.2)"], "does not support sweep type"),
        (["-m", "seed=0,1", "--cfg", "job"], "Only one of --run, --multirun, --cfg"),
        (["output="], "output=: an empty name; give a folder"),
        (["cache="], "cache=: an empty name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_in_one_line(
    arguments: list[str], message: str, ask: Ask, tmp_path: Path
):
    planned, error = ask(*arguments)
    assert isinstance(error, str)  # which python prints on stderr, with exit code 1
    assert error.startswith("error: ")
    assert "\n" not in error
    assert message in error
    assert planned == []
    assert not list(tmp_path.glob("*/[!.]*"))  # Hydra's own files at most


@pytest.mark.parametrize("words", [[], ["-m", "seed=0,1"]], ids=["run", "sweep"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("setting=smoke", "experiment"),
        ("network=alexnet", "model"),
        ("dataset.crop=24", "data.crop"),
        ("dataset=cifar10", "data"),
        ("trainer.nodes=2", "trainer.num_nodes"),
        ("recipe.bias_rate=1", "recipe.bias_lr_mult"),
        ("stream=1", "replicate"),
        ("summary=true", "print_model"),
    ],
)
def test_an_old_key_is_answered_with_the_new_one(old: str, new: str, words: list[str], ask: Ask):
    planned, error = ask(*words, old)
    key = old.partition("=")[0]
    assert (planned, error) == ([], f"error: `{key}=` is now `{new}=`")


def test_an_old_key_is_answered_in_a_sweep_and_in_a_file(ask: Ask, tmp_path: Path):
    assert ask("-m", "network=alexnet,cifar_conv")[1] == "error: `network=` is now `model=`"
    assert ask("-m", "dataset.crop=20,24")[1] == "error: `dataset.crop=` is now `data.crop=`"
    error = ask(*experiment_file(tmp_path, "stream: 1"))[1]
    assert error == "error: `stream=` is now `replicate=` (in experiment/mine.yaml)"


@pytest.mark.parametrize("line", ["dropout: off", "dropout: no", "dropout: on"])
def test_a_bare_off_in_a_file_is_explained(line: str, ask: Ask, tmp_path: Path):
    planned, error = ask(*experiment_file(tmp_path, line))
    assert planned == []
    meant = "on" if line.endswith("on") else "off"
    assert f"dropout takes on | off: use dropout={meant}; in a file in quotes" in str(error)
    assert str(error).endswith("(in experiment/mine.yaml)")


def test_a_wrong_key_in_a_file_is_explained(ask: Ask, tmp_path: Path):
    planned, error = ask(*experiment_file(tmp_path, "poolign: overlap"))
    assert planned == []
    assert "there is no key `poolign`; did you mean pooling?" in str(error)


def test_a_file_that_is_no_yaml_is_named_with_its_line(ask: Ask, tmp_path: Path):
    planned, error = ask(*experiment_file(tmp_path, "recipe: [1"))
    assert planned == []
    assert "mine.yaml, line 4, column 1: expected ',' or ']'" in str(error)


# Help


def test_help_lists_every_key_with_its_values_and_meaning(ask: Ask, capsys):
    planned, code = ask("--help")
    assert (planned, code) == ([], 0)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    text = " ".join(printed.split())
    assert len(keys()) > 40
    for name, values, meaning in keys():
        assert meaning or name == "experiment", name
        if name != "experiment":
            assert f" {name}={values} {meaning} " in text
    assert "pooling=overlap | nonoverlap" in text
    for group in ("experiment", "trainer", "logger"):
        for path in (composition.shipped("conf") / group).glob("*.yaml"):
            assert path.stem in text
    assert "${" not in text


def test_cfg_prints_everything(ask: Ask, capsys):
    planned, code = ask("--cfg", "job", "pooling=nonoverlap")
    assert (planned, code) == ([], 0)
    printed = yaml.safe_load(capsys.readouterr().out)

    def leaves(values: dict, prefix: str = "") -> set[str]:
        found = set()
        for key, value in values.items():
            inner = isinstance(value, dict)
            found |= leaves(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}"}
        return found

    assert leaves(printed) == {name for name, _, _ in keys()}
    assert printed["pooling"] == "nonoverlap"


def test_a_key_cannot_be_deleted():
    with pytest.raises(ConfigError, match=r"~pooling: a key cannot be left out; .* pooling=\.\.\."):
        composition.compose(["~pooling"])


def test_the_installed_package_brings_its_own_files(monkeypatch, tmp_path: Path):
    (tmp_path / "ablations").mkdir()
    monkeypatch.setattr(composition, "files", lambda name: tmp_path / name)
    assert composition.shipped("conf") == tmp_path / "ablations" / "_shipped" / "conf"
    (tmp_path / "pyproject.toml").touch()
    assert composition.shipped("conf") == tmp_path / "conf"


# How a command ends


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(28, "No space left", "/full/file"), "error: /full/file: No space left"),
        (RunsFailed("1 of 2 runs failed"), "error: 1 of 2 runs failed"),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("words", [[], ["-m", "seed=0,1"]], ids=["run", "sweep"])
def test_an_error_is_a_line_and_ctrl_c_is_silent(
    words: list[str], error: BaseException, code: object, monkeypatch, capsys
):
    def fails(composed):
        raise error

    assert command(monkeypatch, fails, *words) == code
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", [[], ["-m", "seed=0,1"]], ids=["run", "sweep"])
@pytest.mark.parametrize("output", ["/proc/runs", "a_file", "a_file/runs"])
def test_a_folder_that_cannot_be_written_is_told_in_one_line(
    output: str, words: list[str], ask: Ask
):
    Path("a_file").touch()
    planned, error = ask(*words, f"output={output}")
    assert planned == []
    assert str(error).startswith(f"error: output={output}: cannot write there (")
    assert str(error).endswith("choose another folder with output=FOLDER")


def test_a_bug_keeps_its_traceback(monkeypatch):
    with pytest.raises(ValueError, match="bug"):
        command(monkeypatch, lambda composed: int("bug"))


def test_the_whole_error_on_request(ask: Ask, monkeypatch, capsys):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(sys, "argv", ["run.py", "seed=-1"])
    with pytest.raises(ConfigError):
        composition.main(task.train_one)
    assert "seed=-1" in capsys.readouterr().err  # Hydra names the job


@pytest.mark.parametrize(
    "words", [["pooling=overlaps"], ["seed=-1"], ["-m", "hydra/launcher=basic", "seed=-1"]]
)
def test_the_command_answers_in_seconds_on_stderr_with_exit_code_1(words: list[str]):
    began = time.monotonic()
    done = subprocess.run([sys.executable, str(RUN), *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {words[-1]}")
    assert done.stderr.count("\n") == 1
    assert time.monotonic() - began < 30


def test_a_reader_that_has_seen_enough_of_the_help_is_no_error():
    words = [sys.executable, str(RUN), "--help"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()
    assert "rror" not in said
