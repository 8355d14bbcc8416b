import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ablations import composition
from ablations.config import Config, ConfigError, Run
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


def command(
    monkeypatch, function: Callable, *arguments: str, program: str = "ablations/run.py"
) -> object:
    """Exit code of a Hydra application with these arguments."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    try:
        composition.main(function, "prepare" if "prepare" in program else "config")
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


def test_every_arm_of_a_sweep_is_compared_with_its_own_experiment(ask: Ask):
    words = ("experiment=smoke,cifar10_small", "recipe.milestones=[0.1,0.2],[0.3]")
    jobs, _ = ask("-m", *words, "pooling=nonoverlap")
    for (config, base), name in zip(jobs, ["smoke"] * 2 + ["cifar10_small"] * 2, strict=True):
        assert base == composition.compose([f"experiment={name}"]).run
        assert (config.pooling, base.techniques.pooling) == (Pooling.nonoverlap, Pooling.overlap)
    assert [config.recipe.milestones for config, _ in jobs] == [(0.1, 0.2), (0.3,)] * 2


@pytest.mark.parametrize("value", ["off", "'off'", "false"])
def test_on_and_off_may_be_words_or_truth_values(value: str, ask: Ask, tmp_path: Path):
    ((config, _),), _ = ask(f"dropout={value}")
    assert config.dropout is Dropout.off
    ((config, _),), _ = ask(*experiment_file(tmp_path, f"dropout: {value}"))
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
        ("pooling=null", "overlap | nonoverlap"),
        ("dropout=0.3", "on | off"),
        ("fast_dev_run=maybe", "true | false"),
        ("seed=1.5", "a whole number, at least 0"),
        ("width=5", "a number, above 0, at most 4"),
        ("recipe.lr=nan", "a number, above 0"),
        ("recipe.stop_at=1.0", "a number, above 0, below 1 | null"),
        ("data.train=a", "a list [A,B]"),
        ("output=", "a string, not empty"),
    ],
)
def test_a_wrong_value_is_named_with_the_valid_ones(override: str, takes: str):
    key = override.partition("=")[0]
    with pytest.raises(ConfigError) as error:
        composition.alter(Config(), [override])
    assert str(error.value) == f"{override}: not valid; {key} takes {takes}"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("data.crop=40", "data.crop=40: must be between 8 and"),
        ("data.source=huggingface", r"needs data.path=.*data.train=\[FILE"),
        ("data.source=huggingface data.train=[a.zip]", "data.test: one is missing"),
        ("data.source=cifar10 data.train=[a.zip]", "add data.source=huggingface"),
        ("data.path=owner/name", "synthetic reads no files; next step: add data"),
        ("data.val_size=0 recipe.schedule=plateau", "plateau: needs a validation error, but data"),
        ("recipe.milestones=[0.5,0.4]", r"=\[0\.5, 0\.4\]: must be increasing fractions"),
        ("recipe.schedule=step", "step: needs recipe.milestones"),
        ("trainer.num_nodes=2 trainer.parallel=2", "must be 1 with trainer.num_nodes=2"),
        ("recipe.epochs=9 trainer.check_val_every_n_epoch=2", r"must divide recipe\.epochs=9"),
        (
            "recipe.schedule=plateau trainer.check_val_every_n_epoch=2",
            "plateau needs the validation error of every epoch",
        ),
        ("callbacks.mine=3", r"callbacks\.mine=3: not valid; callbacks takes \{NAME"),
        ("callbacks={mine:{decay:1}}", r"callbacks\.mine: has no class"),
    ],
)
def test_keys_that_do_not_go_together_are_named(overrides: str, message: str):
    with pytest.raises(ConfigError, match=message):
        composition.alter(Config(), overrides.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pooling=overlaps"], "pooling=overlaps: not valid; pooling takes overlap | nonoverlap"),
        (["+foo=1"], "foo: no such key; run.py --help"),
        (["recipe.lrr=1"], "recipe.lrr: no such key; did you mean recipe.lr?"),
        (["dataset.crop=24"], "`dataset.crop=` is now `data.crop=`"),
        (["~recipe.lr"], "recipe.lr: has no value; next step: recipe.lr=... instead of ~recipe"),
        (["~experiment"], "~experiment: experiment is required; experiment takes cifar10"),
        (["logger=null"], "logger=null: logger is required; logger takes csv | none"),
        (["trainer=2"], "trainer=2: trainer is required; trainer takes auto | cpu"),
        (["trainer=tpu"], "trainer=tpu: does not exist; trainer takes auto | cpu"),
        (["data=cifar10"], "data is a group of keys; next step: set experiment=NAME"),
        (["pooling=overlap,nonoverlap"], "To sweep over it, add --multirun"),
        (["data.path=/a (b)/c"], "data.path=/a (b)/c: cannot be parsed as KEY=VALUE"),
        (["-cn", "nope"], "Cannot find primary config 'nope'"),
        (["hydra.foo=1"], "Could not override 'hydra.foo'"),
        (["seed=${nothing}"], "Interpolation key 'nothing' not found full_key: seed"),
        (["-m", "seed=0,1,-1"], "seed=-1: not valid"),
        (["-m", "seed=range(0)"], "a key of the sweep has no value"),
        (["-m", "output=a,b"], "output: all runs of a sweep share it; give one value"),
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
        ("poolign: overlap", "poolign: no such key; did you mean pooling?"),
        ("recipe: [1", 'mine.yaml", line 4, column 1'),
    ],
)
def test_a_mistake_in_a_file_is_told_in_one_line(line: str, message: str, ask: Ask, tmp_path: Path):
    planned, error = ask(*experiment_file(tmp_path, line))
    assert planned == []
    assert message in str(error)


def test_a_configuration_without_ours_is_told_what_it_lacks(ask: Ask, tmp_path: Path):
    planned, error = ask(*own_file(tmp_path, "forgot.yaml", "seed: 3\n"), "-cn", "forgot")
    assert planned == []
    assert "has no value" in str(error)
    assert "`defaults: [config, _self_]`" in str(error)


def test_a_configuration_may_be_on_top_of_ours(ask: Ask, tmp_path: Path):
    text = "defaults: [config, _self_]\nseed: 3\n"
    ((config, _),), _ = ask(*own_file(tmp_path, "mine.yaml", text), "-cn", "mine")
    assert config.seed == 3


def test_an_experiment_may_set_hardware_and_logger(ask: Ask, tmp_path: Path):
    chosen = "defaults: [override /trainer: cpu, override /logger: none]\n"
    where = experiment_file(tmp_path, f"{chosen}trainer: {{devices: 2, parallel: 1}}")
    ((config, _),), _ = ask(*where)
    assert (config.trainer.devices, config.trainer.parallel) == (2, 1)
    assert (config.trainer.accelerator.value, config.logger.kind.value) == ("cpu", "none")
    ((config, _),), _ = ask(*where, "logger=csv", "trainer.devices=3")
    assert (config.trainer.devices, config.logger.kind.value) == (3, "csv")


# Help


@pytest.mark.parametrize(
    ("program", "shown"),
    [
        ("ablations/run.py", "python ablations/run.py"),
        ("ablations/prepare.py", "python ablations/prepare.py"),
        ("/bin/ablations run", "ablations run"),
    ],
)
def test_the_help_has_groups_and_the_keys_of_the_command(program, shown, monkeypatch, capsys):
    assert command(monkeypatch, task.train_one, "--help", program=program) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {shown} [")
    assert f"\n  {shown} " in text  # an example
    assert "\ntrainer: auto, cpu, ddp, gpu, slurm\n" in text
    assert "  data.crop=a whole number, at least 8 (default 28)\n" in text
    flat = " ".join(text.split())
    for name, (values, meaning) in keys().items():
        explained = f" {name}={values} " in flat and f") {meaning} " in flat
        assert explained == ("prepare" not in program or name.startswith(("data.", "cache"))), name


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("pooling=", ["pooling=overlap", "pooling=nonoverlap"]),
        ("-m norm=lrn,n", ["norm=lrn,none"]),
        ("norm=lrn,", ["norm=lrn,none", "norm=lrn,batchnorm"]),
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
def test_an_error_is_a_line_and_ctrl_c_is_silent(
    error: BaseException, code: object, monkeypatch, capsys
):
    def fails(composed):
        raise error

    assert command(monkeypatch, fails, "-m", "seed=0,1") == code
    assert capsys.readouterr().err == ""


def test_a_bug_keeps_its_traceback(monkeypatch):
    with pytest.raises(ValueError, match="bug"):
        command(monkeypatch, lambda composed: int("bug"))


def test_the_command_answers_on_stderr_with_exit_code_1():
    words = [sys.executable, str(RUN), "-m", "hydra/launcher=basic", "seed=-1"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: seed=-1")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_of_the_help_is_no_error():
    words = [sys.executable, str(RUN), "--help"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
