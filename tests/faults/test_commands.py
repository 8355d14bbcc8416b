"""Faults that happen to whole commands: to the command, to its runs, and to the server between."""

import json
import shutil
import socket
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from commands import hook
from conftest import REPOSITORY, TINY, Command
from faults import injection
from faults.injection import SIGNALS, VARIABLE, Fault

pytestmark = pytest.mark.faults

REPORT = str(REPOSITORY / "ablations" / "report.py")

# What the run comes to, and the moments that the command itself comes to before.
RUN = {
    "train 3": "training step",
    "half last.ckpt": "checkpoint",
    "renamed last.ckpt": "checkpoint",
    "validate": "evaluation",
    "test": "evaluation",
    "half predictions.npz": "predictions",
    "rename record.json": "record",
    "renamed record.json": "record",
}
COMMAND = {
    "half train_images.npy": "data",
    "rename huggingface": "data",
    "half config.yaml": "configuration",
    "rename config.yaml": "configuration",
}
FAULTS = [
    *(
        Fault(deed, moment, target)
        for deed in SIGNALS
        for target in ("self", "command", "server")
        for moment in RUN
        if (deed, target) != ("int twice", "command")
    ),
    *(Fault("int twice", moment, "group") for moment in RUN),
    *(Fault(deed, moment, "command") for deed in ("kill", "term") for moment in COMMAND),
    *(Fault("int twice", moment, "group") for moment in COMMAND),
    *(Fault(deed, moment) for deed in ("ENOSPC", "EIO") for moment in COMMAND),
    *(Fault(deed, moment) for deed in ("ENOSPC", "EIO") for moment in list(RUN)[1::2]),
    *(Fault("memory", moment) for moment in ("train 3", "test")),
    *(Fault("clock", moment) for moment in ("train 3", "half config.yaml")),
]


def quoted(value: str | tuple[str, ...]) -> str:
    """A value as the command line of Hydra takes it, whatever is in it."""
    if isinstance(value, tuple):
        return f"[{','.join(map(quoted, value))}]"
    return "'" + value.replace("'", "\\'") + "'"


class Commands:
    """Starts the command that trains the run of a case, and checks how it ends."""

    def __init__(self, laboratory, case, folder: Path) -> None:
        self.case, self.folder = case, folder
        self.cache, self.data = laboratory.cache, laboratory.config.data
        self.more: tuple[str, ...] = ()
        self.begun: list[Command] = []

    def start(self, fault: Fault | None = None, **variables: str) -> Command:
        words = (
            *TINY,
            "trainer.checkpoint_steps=1",
            "init=fan_in",
            "recipe.lr=0.01",
            "data.source=huggingface",
            f"data.train={quoted(self.data.train)}",
            f"data.test={quoted(self.data.test)}",
            f"output={quoted(str(self.case.output))}",
            f"cache={self.cache}",
            *self.more,
        )
        if fault:
            marked = replace(fault, once=str(self.folder / "happened"))
            variables |= hook(Path(injection.__file__).read_text())
            variables[VARIABLE] = json.dumps(asdict(marked))
        self.begun.append(Command(words, self.folder, variables))
        return self.begun[-1]

    def check(self, command: Command) -> None:
        """What must hold after a command with a fault."""
        command.finish(timeout=90)
        self.case.check_left(command.left_over(3.5))
        said = command.out + command.err
        # A command that a signal ends says as little as any other.
        words = command.code <= 0 or "error: " in said or "Interrupted" in said
        if not words:
            self.case.wrong["unclear"].append(f"exit code {command.code}: {said}")
        self.case.check_words(said, failed=False)
        self.case.check_numbers(ended=command.code == 0)

    def check_again(self) -> None:
        """The same command, undisturbed."""
        command = self.start().finish(timeout=90)
        self.case.check_left(command.left_over(3.5), ended=True)
        if command.code:
            self.case.wrong["stuck"].append(command.out + command.err)
        self.case.check_words(command.out + command.err, failed=False)
        self.case.check_numbers(ended=True)


@pytest.fixture
def commands(laboratory, case, tmp_path: Path) -> Iterator[Commands]:
    found = Commands(laboratory, case, tmp_path)
    yield found
    for command in found.begun:
        command.clear()


def name_of(fault: Fault) -> str:
    targets = {"self": "the run", "group": "all, as Ctrl-C"}
    target = targets.get(fault.target, f"the {fault.target}")
    return f"{fault.deed} to {target}" if fault.deed in SIGNALS else fault.deed


@pytest.mark.parametrize(
    "fault", FAULTS, ids=lambda fault: f"{fault.deed} {fault.target} {fault.moment}"
)
def test_a_command_continues_after_a_fault(fault, commands, row):
    row("complete commands", name_of(fault), (RUN | COMMAND)[fault.moment])
    if fault.moment in ("half train_images.npy", "rename huggingface"):
        commands.cache = commands.folder / "cache"
    commands.check(commands.start(fault))
    assert (commands.folder / "happened").exists(), "the fault did not happen"
    commands.check_again()


@pytest.mark.parametrize("moment", ["half train_images.npy", "train 3", "rename record.json"])
@pytest.mark.parametrize("deed", SIGNALS)
def test_of_two_equal_commands_one_trains_on(deed, moment, commands, row):
    row("complete commands", f"{deed}, one of two equal commands", (RUN | COMMAND)[moment])
    commands.cache = commands.folder / "cache"
    target = "command" if moment in COMMAND else "self"
    first = commands.start(Fault(deed, moment, target))
    second = commands.start()
    commands.check(first)
    commands.check(second)
    commands.check_again()


# W&B


@pytest.mark.parametrize("how", ["refuses", "hangs", "fails midway"])
def test_wandb_never_costs_a_run(how, commands, row, wandb_server):
    row("environment", f"W&B {how}", "complete command")
    commands.more = ("logger=wandb",)
    variables = dict(wandb_server.environment) | {"WANDB_HTTP_TIMEOUT": "3"}
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        if how == "hangs":
            variables["WANDB_BASE_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        wandb_server.refusal = 503 if how == "refuses" else None
        command = commands.start(**variables)
        if how == "fails midway":
            command.wait_until(lambda: wandb_server.runs)
            wandb_server.refusal = 503
        commands.check(command)
    assert command.code == 0
    commands.check_again()


# Hostile names

NAMES = [
    "[/nope]",
    "[red]a[/]",
    "<script>alert(1)<!--",
    "a|b `c` **d**",
    "$(touch hacked)",
    "{a: b}, c",
    "ä é 数 😀",
    "-n --help",
    "a;touch hacked",
]


@pytest.mark.parametrize("name", [name.replace("/", "\N{FRACTION SLASH}") for name in NAMES])
@pytest.mark.parametrize("what", ["runs' folder", "data"])
def test_a_hostile_name_is_only_text(what, name, commands, case, laboratory, row, start):
    row("environment", f"hostile name of the {what}", "complete command")
    if what == "data":
        source = commands.folder / name
        shutil.copytree(Path(laboratory.config.data.train[0]).parent, source)
        files = {split: (str(source / f"{split}.parquet"),) for split in ("train", "test")}
        commands.data = replace(laboratory.config.data, **files)
        case.expected["data"] |= {"name": name}
    else:
        case.output = case.output.rename(case.output.with_name(name))
    commands.check(commands.start())
    report = start("--output", str(case.output), program=(REPORT,)).finish()
    case.check_words(report.out + report.err, failed=False)
    assert (commands.begun[0].code, report.code) == (0, 0)
    assert not list(commands.folder.rglob("hacked"))
    for page in ("report.html", "RESULTS.md"):
        assert "<script>alert" not in (case.output / page).read_text()
    commands.check_again()
