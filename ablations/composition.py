"""Compose configurations with Hydra, and report its errors in one line.

Hydra composes plain values, which pydantic turns into :class:`ablations.config.Config`.
"""

import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, chdir, redirect_stderr
from functools import cache
from importlib.resources import files
from pathlib import Path
from shlex import quote
from typing import Any, TextIO, cast

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from yaml import MarkedYAMLError, YAMLError

from ablations.config import CONFIG, Config, ConfigError, Run, flatten
from ablations.errors import UNREAD, RunsFailed, error_line, lacks_memory, plain, stdout_closed
from ablations.keys import completions, explain, help_text, keys, no_value, unknown_key

_SUBMITIT = "hydra/launcher=submitit_slurm"
# Values that Hydra does not read as strings, and that therefore cannot name a file.
_NO_NAME = re.compile(r"null|true|false|[-+.]?\d[-+.\de]*", re.IGNORECASE)


def shipped(folder: str) -> Path:
    """Return the folder ``conf`` or ``sweeps`` of the clone, or of the installed package."""
    package = Path(str(files("ablations")))
    clone = package.parent / folder
    return clone if (package.parent / "pyproject.toml").exists() else package / "_shipped" / folder


def experiment_names() -> list[str]:
    """Return the names of the experiments."""
    return _groups()["experiment"]


def main(task: Callable[[DictConfig], Any], name: str = "run") -> None:
    """Run a Hydra application, and report its errors in one line.

    Args:
        task: Called once for each job, by the launcher that ``hydra/launcher`` names.
        name: Name of the command, for its help.

    Raises:
        SystemExit: 1 after an error, 130 after Ctrl-C, 141 if standard output was closed.
    """
    if sys.argv[1:2] == ["-sc"] and (values := _completed_values()):
        print(*values, sep="\n")
        return
    register(name)
    full_error = os.environ.setdefault("HYDRA_FULL_ERROR", "0") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise errors, which _explain rewords
    command = hydra.main(version_base="1.3", config_path=str(shipped("conf")), config_name="config")
    try:
        _check_words(sys.argv[1:])
        with redirect_stderr(sys.stderr if full_error else cast(TextIO, _Errors(sys.stderr))):
            command(task)()
    except RunsFailed as error:  # each failure was shown when it happened
        sys.exit(error_line(str(error)))
    except (HydraException, OmegaConfBaseException, ValueError, OSError, YAMLError) as error:
        if stdout_closed(error):
            sys.exit(UNREAD)
        # A plain ValueError that names an option comes from Hydra, such as for two options that
        # exclude each other. Any other is a bug.
        if full_error or (type(error) is ValueError and "--" not in str(error)):
            raise
        sys.exit(error_line(_explain(error)))
    except (RuntimeError, MemoryError, ImportError) as error:
        if lacks_memory(error) and not full_error:
            sys.exit(error_line(plain(error)))
        # Submitit raises RuntimeError on a machine without SLURM.
        if full_error or _SUBMITIT not in sys.argv or not isinstance(error, RuntimeError):
            raise
        reason = str(error).strip().rpartition("\n")[2]
        step = "start this on a login node of the cluster, or remove hydra/launcher"
        sys.exit(error_line(f"{_SUBMITIT}: {reason}; next step: {step}"))
    except KeyboardInterrupt:
        sys.exit(130)


def in_start_folder() -> AbstractContextManager[None]:
    """Return a context in the folder where the command was started.

    Relative paths are resolved there, also with ``hydra.job.chdir``.
    """
    return chdir(HydraConfig.get().runtime.cwd)


def compose(overrides: Sequence[str]) -> Config:
    """Compose a configuration from overrides, outside the command line.

    Raises:
        ConfigError: An override has an unknown key or an invalid value.
    """
    register()
    with hydra.initialize_config_dir(str(shipped("conf").resolve()), version_base="1.3"):
        try:
            return to_config(hydra.compose("config", list(overrides)))
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(_explain(error)) from error


def alter(config: Config, overrides: Sequence[str]) -> Config:
    """Apply overrides to a configuration without composing it again; groups are not supported.

    Raises:
        ConfigError: An override has an unknown key or an invalid value.
    """
    try:
        node = OmegaConf.create(_plain(config))
        for override in OverridesParser.create().parse_overrides(list(overrides)):
            OmegaConf.update(node, override.key_or_group, override.value())
        return to_config(node)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(error)) from error


def register(command: str = "run") -> None:
    """Register every key with its default, and the help text of a command, with Hydra."""
    store = ConfigStore.instance()
    store.store(name="defaults", node=_plain(Config()), provider="ablations")
    # The text must have no dollar sign: Hydra and OmegaConf would substitute what follows it.
    text = help_text(_groups(), command)
    page = {"app_name": "ablations", "header": "", "footer": "", "template": text}
    store.store(group="hydra/help", name="ablations", node=page)


def _groups() -> dict[str, list[str]]:
    """Return the names in each group of configuration files."""
    folders = sorted(path for path in shipped("conf").iterdir() if path.is_dir())
    return {path.name: sorted(file.stem for file in path.glob("*.yaml")) for path in folders}


def _plain(config: Config) -> dict[str, Any]:
    return CONFIG.dump_python(config, mode="json")


def to_config(composed: DictConfig) -> Config:
    """Convert the configuration that Hydra composed, and check every key and value.

    Raises:
        ConfigError: A value is invalid, or a key is unknown or missing.
    """
    own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    values = cast(dict[str, Any], OmegaConf.to_container(own, resolve=True))
    given = {key for key, _ in flatten(values)}
    try:
        config = CONFIG.validate_python(values, extra="forbid")
    except ValidationError as error:
        raise ConfigError(explain(error)) from None
    for key, *_ in keys():
        if key not in given:  # the default would silently take its place
            raise ConfigError(no_value(key))
    return config


def experiment_of(config: Config) -> Run:
    """Return the run of the unchanged experiment, with which arms are compared to name them.

    Works only inside a Hydra application, whose search path has the experiment.
    """
    overrides = HydraConfig.get().overrides.hydra
    return _experiment(
        config.experiment, *(o for o in overrides if o.startswith("hydra.searchpath"))
    )


@cache
def _experiment(name: str, *where: str) -> Run:
    return to_config(hydra.compose("config", [*where, f"experiment={name}"])).run


def _completed_values() -> list[str]:
    """Return completions of the value of a key; Hydra itself completes only the current value."""
    line = os.environ.get("COMP_LINE", "")
    if not any(word.startswith("query=") for word in sys.argv) or line[-1:].strip() == "":
        return []
    return completions(line.split()[-1])


# Errors


class _Errors:
    """Standard error without the line that Hydra writes above an error of a job."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        return 0 if text.startswith("Error executing job with") else self.stream.write(text)


def _check_words(words: Sequence[str]) -> None:
    """Refuse arguments that Hydra would answer with its usage or a traceback."""
    known = {part for name, *_ in keys() for part in (name, name.partition(".")[0])}
    groups = _groups()
    for word in words:
        key, _, value = word.lstrip("-~").partition("=")
        if word.startswith("-") and key in known:
            raise ConfigError(
                f"{word}: an override has no dashes; next step: {key}={value or 'VALUE'}"
            )
        if key in groups and (word.startswith("~") or _NO_NAME.fullmatch(value)):
            meant = f"; next step: {key}=none" if "none" in groups[key] else ""
            takes = " | ".join(groups[key])
            raise ConfigError(f"{word}: {key} is required; {key} takes {takes}{meant}")
        if _SUBMITIT in words and key.startswith("trainer.slurm."):
            raise ConfigError(
                f"{word}: only for trainer=slurm; {_SUBMITIT} takes hydra.launcher.*, such as "
                "hydra.launcher.timeout_min=120"
            )


def _explain(error: Exception) -> str:
    """Return an error of Hydra or OmegaConf as one line: problem, valid values, next step."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        if "=" not in str(error.override):
            return f"{error.override}: not KEY=VALUE; run.py --help lists the keys"
        return (
            f"{error.override}: cannot be parsed; a value with spaces, commas or brackets needs "
            "two pairs of quotes: 'KEY=\"a (b), c\"'"
        )
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        if group:
            return (
                f"{group}={name}: does not exist; {group} takes {' | '.join(error.options or [])}"
            )
        folders = " or ".join(re.findall(r"path=file://(.+)", text))
        return f"{name}.yaml: not found in {folders}; next step: --config-dir FOLDER adds a folder"
    if isinstance(error, HydraException) and re.search(r"\bhydra['.=]", text):
        # The hints below are only for the suite's own keys.
        return f"{text.splitlines()[0].rstrip('.')}; --cfg hydra prints Hydra's own keys"
    if match := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.+?)=(.*)'", text):
        key, values = match.groups()
        if next((takes for name, takes, _ in keys() if name == key), "").startswith("a list"):
            return f"{key}={values}: a list needs brackets; next step: {key}=[{values}]"
        sweep = f"ablations/run.py -m {quote(f'{key}={values}')}"
        return f"{key}={values}: must be one value; for a sweep, add -m: {sweep}"
    if match := re.match(r"Could not override '([^']+)'", text):
        return unknown_key(match[1])
    if isinstance(error, OSError):
        return _refused(error)
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {text.splitlines()[0]}"
    if isinstance(error, MarkedYAMLError) and (mark := error.problem_mark):
        return f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _refused(error: OSError) -> str:
    # Hydra writes its own files before the plan checks the folder of the runs.
    given = [word.partition("=")[2] for word in sys.argv if word.startswith("output=")]
    output = (given or [Config().output])[-1]
    folder, file = Path(output).absolute(), Path(str(error.filename)).absolute()
    if file in (folder, *folder.parents) or file.is_relative_to(folder / ".hydra"):
        return (
            f"output={output}: cannot write there ({error.strerror}); next step: free space or "
            "give access, or choose another folder with output=FOLDER"
        )
    return plain(error)
