import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ablations import composition
from ablations.config import Config, ConfigError, Run, flatten
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


def test_what_refers_to_a_key_follows_it_in_a_sweep(ask: Ask, tmp_path: Path):
    where = experiment_file(tmp_path, "replicate: ${seed}")
    jobs, _ = ask("-m", *where, "seed=3,4")
    assert [config.replicate for config, _ in jobs] == [3, 4]


def test_every_arm_of_a_sweep_is_compared_with_its_own_experiment(ask: Ask):
    words = ("experiment=smoke,cifar10_small", "recipe.milestones=[0.1,0.2],[0.3]")
    jobs, _ = ask("-m", *words, "pooling=nonoverlap")
    for (config, base), name in zip(jobs, ["smoke"] * 2 + ["cifar10_small"] * 2, strict=True):
        assert base == composition.compose([f"experiment={name}"]).run
        assert (config.pooling, base.techniques.pooling) == (Pooling.nonoverlap, Pooling.overlap)
    assert [config.recipe.milestones for config, _ in jobs] == [(0.1, 0.2), (0.3,)] * 2


@pytest.mark.parametrize("value", ["on", "off", "'on'", '"off"'])
def test_on_and_off_are_words_on_the_command_line(value: str, ask: Ask):
    ((config, _),), _ = ask(f"dropout={value}")
    assert config.dropout is Dropout(value.strip("'\""))


def test_a_quoted_off_in_a_file(ask: Ask, tmp_path: Path):
    ((config, _),), _ = ask(*experiment_file(tmp_path, 'dropout: "off"'))
    assert config.dropout is Dropout.off


def test_a_number_has_the_type_of_its_key():
    # Otherwise the same run would have two names.
    one = composition.compose(["recipe.lr=1", "width=1", "recipe.bias_lr_mult=2"])
    other = composition.compose(["recipe.lr=1.0", "width=1.0", "recipe.bias_lr_mult=2.0"])
    assert one.run.run_id == other.run.run_id
    named = composition.compose(["data.name=2012", "pretrained=123456789012"])
    assert (named.data.name, named.pretrained) == ("2012", "123456789012")


def test_the_ways_to_compose_agree(ask: Ask):
    overrides = ["pooling=nonoverlap", "seed=3", "recipe.milestones=[0.5]", "trainer=ddp"]
    ((config, _),), _ = ask(*overrides)
    assert composition.compose(overrides) == config
    assert composition.alter(composition.compose(["trainer=ddp"]), overrides[:-1]) == config
    assert config.trainer.devices == 2


def test_compose_explains_too():
    with pytest.raises(ConfigError, match=r"^pooling=overlaps: not valid; pooling takes"):
        composition.compose(["pooling=overlaps"])
    with pytest.raises(ConfigError, match=r"did you mean pooling"):
        composition.compose(["poolings=overlap"])


# What is wrong: one line, the valid values, exit code 1


def own_file(tmp_path: Path, name: str, text: str) -> tuple[str, str]:
    path = tmp_path / "own" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return "--config-dir", str(tmp_path / "own")


def experiment_file(tmp_path: Path, line: str) -> tuple[str, str]:
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(f"# @package _global_\nexperiment: mine\n{line}\n")
    return f"hydra.searchpath=[file://{tmp_path / 'conf'}]", "experiment=mine"


@pytest.mark.parametrize(
    ("override", "takes"),
    [
        ("pooling=overlaps", "overlap | nonoverlap; next step: pooling=overlap"),
        ("activation=ReLU", "relu | tanh | sigmoid; next step: activation=relu"),
        ("pooling=null", "overlap | nonoverlap"),
        ("dropout=true", "on | off; next step: dropout=on"),
        ("fast_dev_run=maybe", "true | false"),
        ("seed=abc", "a whole number, at least 0"),
        ("seed=1.5", "a whole number, at least 0"),
        ("seed=null", "a whole number, at least 0"),
        ("seed=-1", "a whole number, at least 0"),
        ("replicate=-1", "a whole number, at least 0"),
        ("width=0", "a number, above 0, at most 4"),
        ("width=5", "a number, above 0, at most 4"),
        ("data.size=4", "a whole number, at least 8"),
        ("data.crop=7", "a whole number, at least 8"),
        ("data.train_limit=0", "a whole number, above 0 | null"),
        ("data.val_size=-1", "a whole number, at least 0"),
        ("recipe.epochs=0", "a whole number, above 0"),
        ("recipe.batch_size=0", "a whole number, above 0"),
        ("recipe.patience=0", "a whole number, above 0"),
        ("recipe.lr=fast", "a number, above 0"),
        ("recipe.lr=0.0", "a number, above 0"),
        ("recipe.lr=nan", "a number, above 0"),
        ("recipe.lr=inf", "a number, above 0"),
        ("recipe.momentum=1.0", "a number, at least 0, below 1"),
        ("recipe.weight_decay=-1.0", "a number, at least 0"),
        ("recipe.weight_decay=inf", "a number, at least 0"),
        ("recipe.bias_lr_mult=-1.0", "a number, at least 0 | null"),
        ("recipe.stop_at=0.0", "a number, above 0, below 1 | null"),
        ("recipe.stop_at=1.0", "a number, above 0, below 1 | null"),
        ("trainer.devices=0", "a whole number, above 0"),
        ("trainer.num_nodes=0", "a whole number, above 0"),
        ("trainer.parallel=0", "a whole number, above 0 | null"),
        (
            "trainer.parallel=none",
            "a whole number, above 0 | null; next step: trainer.parallel=null",
        ),
        ("trainer.threads=0", "a whole number, above 0 | null"),
        ("trainer.checkpoint_steps=0", "a whole number, above 0"),
        ("trainer.slurm.minutes=4", "a whole number, at least 5"),
        ("trainer.slurm.cpus=0", "a whole number, above 0"),
        ("output=", "a string, not empty"),
        ("cache=", "a string, not empty | null"),
    ],
)
def test_a_wrong_value_is_named_with_the_valid_ones(override: str, takes: str):
    key = override.partition("=")[0]
    given = "dropout=True" if key == "dropout" else override
    with pytest.raises(ConfigError) as error:
        composition.alter(Config(), [override])
    assert str(error.value).startswith(f"{given}: not valid; {key} takes {takes}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pooling=overlaps"], "pooling=overlaps: not valid; pooling takes overlap | nonoverlap"),
        (["+foo=1"], "foo: no such key; run.py --help"),
        (["foo=1"], "foo: no such key; run.py --help"),
        (["++foo=1"], "foo: no such key; run.py --help"),
        (["+recipe.foo=1"], "recipe.foo: no such key"),
        (["poolign=overlap"], "poolign: no such key; did you mean pooling?"),
        (["recipe.learning_rate=1"], "recipe.learning_rate: no such key; did you mean"),
        (["dataset.crop=24"], "`dataset.crop=` is now `data.crop=`"),
        (["dataset=cifar10"], "`dataset=` is now `data=`"),
        (["-m", "network=alexnet,cifar_conv"], "`network=` is now `model=`"),
        (["-m", "dataset.crop=20,24"], "`dataset.crop=` is now `data.crop=`"),
        (["~pooling"], "pooling: has no value; next step: pooling=... instead of ~pooling"),
        (["~recipe.lr"], "recipe.lr: has no value; next step: recipe.lr=... instead of ~recipe"),
        (["~experiment"], "~experiment: experiment is required; experiment takes cifar10"),
        (["~trainer=auto"], "~trainer=auto: trainer is required; trainer takes auto | cpu"),
        (["~logger"], "~logger: logger is required; logger takes csv"),
        (["recipe=fast"], "next step: set experiment=NAME, or single keys: recipe.ep"),
        (["data=cifar10"], "did you mean data.source=cifar10? next step: set experiment=NAME"),
        (["recipe.lrr=1"], "recipe.lrr: no such key; did you mean recipe.lr? run"),
        (
            ["-cn", "nope"],
            f"nope.yaml: not found in {composition.shipped('conf')}; next step: --config-dir",
        ),
        (
            ["hydra/launcher=foo"],
            "hydra/launcher=foo: does not exist; hydra/launcher takes basic |",
        ),
        (["hydra.foo=1"], "Could not override 'hydra.foo'; --cfg hydra prints Hydra's own keys"),
        (["hydra=foo"], "'hydra'. No match in the defaults list; --cfg hydra prints"),
        (["hydra.job.chdir=true,false"], "'hydra.job.chdir=true,false'; --cfg hydra prints"),
        (["seed=${nothing}"], "seed: Interpolation key 'nothing' not found"),
        (
            ["experiment=cifar"],
            "experiment=cifar: does not exist; experiment takes cifar10 | cifar",
        ),
        (["trainer=tpu"], "trainer=tpu: does not exist; trainer takes auto | cpu"),
        (["logger=null"], "logger=null: logger is required; logger takes csv | none"),
        (["logger=false"], "tensorboard | wandb; next step: logger=none"),
        (["trainer=2"], "trainer=2: trainer is required; trainer takes auto | cpu"),
        (["trainer.max_epochs=3"], "did you mean recipe.epochs?"),
        (["-m", "max_epochs=3,4"], "did you mean recipe.epochs?"),
        (["dropout=0.3"], "dropout takes on | off; on is the paper's probability of 0.5"),
        (["data.crop=64"], "data.crop=64: must be between 8 and data.size=32"),
        (["pooling=overlap,nonoverlap"], "pooling=overlap,nonoverlap: must be one value"),
        (["seed=range(3)"], "add -m: ablations/run.py -m 'seed=range(3)'"),
        (["data.train=a,b"], "a list needs brackets; next step: data.train=[a,b]"),
        (["data.train=a"], "data.train=a: must be a list in brackets; data.train takes a"),
        (["pooling"], "pooling: not KEY=VALUE"),
        (["-m", "pooling=overlap,"], "pooling=overlap,: cannot be parsed"),
        (["data.path=/a (b)/c"], "data.path=/a (b)/c: cannot be parsed; a value with spaces"),
        (["-m", "pooling=[overlap,nonoverlap]"], "nonoverlap; for a sweep, -m pooling=A,B"),
        (
            ["--pooling=overlap"],
            "--pooling=overlap: an override has no dashes; next step: pooling=overlap",
        ),
        (["--trainer", "cpu"], "--trainer: an override has no dashes; next step: trainer=VALUE"),
        (["-m", "seed=0,1,2,3,4,5,abc"], "seed=abc: not valid"),
        (["-m", "seed=0,1,-1"], "seed=-1: not valid"),
        (["-m", "seed=range(0)"], "a key of the sweep has no value"),
        (["-m", "output=a,b"], "output: all runs of a sweep share it; give one value"),
        (["-m", "recipe.lr=interval(0.1,0.2)"], "does not support sweep type"),
        (
            ["-m", "hydra/launcher=submitit_slurm", "trainer.slurm.minutes=9"],
            "trainer.slurm.minutes=9: only for trainer=slurm; hydra/launcher=submitit_slurm takes",
        ),
        (["-m", "seed=0,1", "--cfg", "job"], "Only one of --run, --multirun, --cfg"),
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


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dropout: off", "dropout takes on | off; next step: dropout=off (in a file quote it"),
        ("dropout: on", "dropout takes on | off; next step: dropout=on (in a file quote it"),
        ("poolign: overlap", "poolign: no such key; did you mean pooling?"),
        ("stream: 1", "`stream=` is now `replicate=`"),
        ("recipe: [1", "mine.yaml, line 4, column 1: expected ',' or ']'"),
    ],
)
def test_a_mistake_in_a_file_is_told_in_one_line(line: str, message: str, ask: Ask, tmp_path: Path):
    planned, error = ask(*experiment_file(tmp_path, line))
    assert planned == []
    assert message in str(error)


@pytest.mark.parametrize("words", [(), ("pooling=overlap",), ("trainer=cpu",)])
def test_a_configuration_without_ours_is_told_what_it_lacks(words, ask: Ask, tmp_path: Path):
    planned, error = ask(*own_file(tmp_path, "forgot.yaml", "seed: 3\n"), "-cn", "forgot", *words)
    assert planned == []
    assert "has no value" in str(error)
    assert "`defaults: [config, _self_]`" in str(error)


def test_a_configuration_may_be_on_top_of_ours(ask: Ask, tmp_path: Path):
    text = "defaults: [config, _self_]\nseed: 3\n"
    ((config, _),), _ = ask(*own_file(tmp_path, "mine.yaml", text), "-cn", "mine")
    assert config.seed == 3


def test_an_experiment_without_its_package_is_told_the_line(ask: Ask, tmp_path: Path):
    where = own_file(tmp_path, "experiment/mine.yaml", "experiment: mine\nseed: 3\n")
    planned, error = ask(*where, "experiment=mine")
    assert planned == []
    assert error == "error: experiment: its file needs the first line `# @package _global_`"


def test_an_experiment_may_set_hardware_and_logger(ask: Ask, tmp_path: Path):
    chosen = "defaults: [override /trainer: cpu, override /logger: none]\n"
    where = experiment_file(tmp_path, f"{chosen}trainer: {{devices: 2, parallel: 1}}")
    ((config, _),), _ = ask(*where)
    assert (config.trainer.devices, config.trainer.parallel) == (2, 1)
    assert (config.trainer.accelerator.value, config.logger.kind.value) == ("cpu", "none")
    ((config, _),), _ = ask(*where, "logger=csv", "trainer.devices=3")
    assert (config.trainer.devices, config.logger.kind.value) == (3, "csv")


# Help


def test_cfg_prints_everything(ask: Ask, capsys):
    planned, code = ask("--cfg", "job", "pooling=nonoverlap")
    assert (planned, code) == ([], 0)
    printed = yaml.safe_load(capsys.readouterr().out)

    assert {key for key, _ in flatten(printed)} == {name for name, _, _ in keys()}
    assert printed["pooling"] == "nonoverlap"


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("pooling=", ["pooling=overlap", "pooling=nonoverlap"]),
        ("-m norm=lrn,n", ["norm=lrn,none"]),
        ("pooling=overlap recipe.l", ["recipe.lr="]),
        ("recipe.lr=", ["recipe.lr=0.01"]),  # the present one, of any number
        ("experiment=cifar10_", ["experiment=cifar10_small"]),
    ],
)
def test_tab_completes_keys_and_the_values_that_one_types(
    typed: str, completed: list[str], monkeypatch, capsys
):
    monkeypatch.setenv("COMP_LINE", f"python run.py {typed}")
    command(monkeypatch, task.train_one, "-sc", "query=bash")
    assert capsys.readouterr().out.split() == completed


def test_tab_after_a_finished_word_begins_a_new_one(monkeypatch, capsys):
    monkeypatch.setenv("COMP_LINE", "python run.py pooling=overlap ")
    command(monkeypatch, task.train_one, "-sc", "query=bash")
    assert "norm=" in capsys.readouterr().out.split()


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
@pytest.mark.parametrize("output", ["/proc/runs", "a_file/runs"])
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
