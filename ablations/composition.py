"""Hydra's side of the suite: the schema, composition, its errors in plain words.

Everything below this module works with plain dataclasses.
"""

import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TextIO, cast

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from ablations.config import Config, ConfigError, Run, key_paths
from ablations.errors import UNREAD, RunsFailed, nobody_reads, plain
from ablations.keys import help_text, keys, unknown_key, wrong_value


def shipped(folder: str) -> Path:
    """Folder ``conf`` or ``sweeps``: of the clone, or as installed with the package."""
    package = Path(str(files("ablations")))
    clone = package.parent / folder
    return clone if (package.parent / "pyproject.toml").exists() else package / "_shipped" / folder


def experiment_names() -> list[str]:
    """What ``experiment=`` may be."""
    return sorted(path.stem for path in (shipped("conf") / "experiment").glob("*.yaml"))


def main(task: Callable[[DictConfig], Any]) -> None:
    """Run a Hydra application; its errors become one line.

    Args:
        task: Called once for each job, by the launcher that ``hydra/launcher`` names.

    Raises:
        SystemExit: 1 after a message, 130 after Ctrl-C.
    """
    register()
    full_error = os.environ.setdefault("HYDRA_FULL_ERROR", "0") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors arrive whole, and _explain words them
    command = hydra.main(version_base="1.3", config_path=str(shipped("conf")), config_name="config")
    try:
        _refuse_dashes(sys.argv[1:])
        with redirect_stderr(sys.stderr if full_error else cast(TextIO, _Errors(sys.stderr))):
            command(task)()
    except RunsFailed as error:  # each failure was shown when it happened
        sys.exit(f"error: {error}")
    except (HydraException, OmegaConfBaseException, ValueError, OSError, YAMLError) as error:
        if nobody_reads(error):
            sys.exit(UNREAD)
        # A plain ValueError is Hydra's where it names the option, such as two that exclude each
        # other, and a bug anywhere else.
        if full_error or (type(error) is ValueError and "--" not in str(error)):
            raise
        sys.exit(f"error: {_explain(error)}")
    except KeyboardInterrupt:
        sys.exit(130)


def compose(overrides: Sequence[str]) -> Config:
    """Compose a configuration from ordinary overrides, outside the command line.

    Raises:
        ConfigError: An override does not exist or does not fit.
    """
    register()
    with hydra.initialize_config_dir(str(shipped("conf").resolve()), version_base="1.3"):
        try:
            composed = hydra.compose("config", list(overrides))
            return to_config(composed)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(_explain(error)) from error


def alter(config: Config, overrides: Sequence[str]) -> Config:
    """Apply further overrides, none of a group: as composing with them, and much faster.

    Raises:
        ConfigError: An override does not exist or does not fit.
    """
    node = OmegaConf.structured(config)
    _thaw(node)
    try:
        for override in OverridesParser.create().parse_overrides(list(overrides)):
            OmegaConf.update(node, override.key_or_group, override.value())
        altered = OmegaConf.to_object(node)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(error)) from error
    assert isinstance(altered, Config)
    return altered


def register() -> None:
    """Give Hydra the schema and the help text."""
    schema = OmegaConf.structured(Config)
    _thaw(schema)
    store = ConfigStore.instance()
    store.store(name="schema", node=schema, provider="ablations")
    groups = {
        name: sorted(path.stem for path in (shipped("conf") / name).glob("*.yaml"))
        for name in ("experiment", "trainer", "logger")
    }
    # Hydra fills in $VARIABLES and OmegaConf ${interpolations}; a literal dollar sign is neither.
    page = {"app_name": "ablations", "header": "", "footer": "", "template": help_text(groups)}
    store.store(group="hydra/help", name="ablations", node=page)


def _thaw(node: DictConfig) -> None:
    # OmegaConf makes frozen dataclasses read-only, defaults included; ours freeze when composed.
    OmegaConf.set_readonly(node, None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig):
            _thaw(child)


def to_config(composed: DictConfig) -> Config:
    """Turn what Hydra composed into the dataclass, and check every value.

    Raises:
        ConfigError: A value is out of range, or a key was added or left out.
    """
    return cast(Config, OmegaConf.to_object(_typed(composed)))


def _typed(composed: DictConfig) -> DictConfig:
    plain = {key: composed._get_node(key) for key in composed if key != "hydra"}
    schema = OmegaConf.structured(Config)
    _thaw(schema)
    # `~pooling` would silently mean the default.
    for key in schema:
        if key not in plain:
            raise ConfigError(f"~{key}: a key cannot be left out; give it a value, {key}=...")
    merged = OmegaConf.merge(schema, plain)
    known = {part for name, *_ in keys() for part in (name, name.rpartition(".")[0])}
    # `+recipe.foo=1` goes past the schema.
    for key in key_paths(cast(dict, OmegaConf.to_container(merged))):
        if key not in known:
            raise ConfigError(unknown_key(key))
    return cast(DictConfig, merged)


def experiment_of(config: Config) -> Run:
    """Return the run of the unchanged experiment, which arms are named after.

    Inside a Hydra application, on whose search path the experiment lies.
    """
    overrides = HydraConfig.get().overrides.hydra
    return _experiment(
        config.experiment, *(o for o in overrides if o.startswith("hydra.searchpath"))
    )


@cache
def _experiment(name: str, *where: str) -> Run:
    return to_config(hydra.compose("config", [*where, f"experiment={name}"])).run


# Errors


class _Errors:
    """Standard error without the line that Hydra writes above an error of a job."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        return 0 if text.startswith("Error executing job with") else self.stream.write(text)


def _refuse_dashes(words: Sequence[str]) -> None:
    known = {part for name, *_ in keys() for part in (name, name.partition(".")[0])}
    for word in words:
        key, _, value = word.lstrip("-").partition("=")
        if word.startswith("-") and key in known:
            raise ConfigError(f"{word}: an override has no dashes; {key}={value or 'VALUE'}")


def _explain(error: Exception) -> str:
    """Word an error of Hydra or OmegaConf for a user: what is wrong, what is valid, what next."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        return (
            f"`{error.override}` cannot be read: an override is KEY=VALUE, a value with spaces, "
            "commas or brackets in it is in quotes within the shell's: 'KEY=\"a (b), c\"'"
        )
    if match := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.+?)=(.*)'", text):
        key, values = match.groups()
        if next((takes for name, takes, _ in keys() if name == key), "").startswith("a list"):
            return f"{key}={values}: a list is in brackets, {key}=[{values}]"
        return f"{key}={values}: one value goes here; several are a sweep, ablations/run.py -m"
    cause: BaseException = error
    while not isinstance(cause, OmegaConfBaseException):
        if (deeper := cause.__cause__ or cause.__context__) is None:
            break
        cause = deeper
    key = str(getattr(cause, "full_key", "") or "")
    if isinstance(cause, OmegaConfBaseException) and key:
        file = re.match(r"In '([^']+)'", text)
        place = f" (in {file[1]}.yaml)" if file else ""
        if "not in" in str(cause):
            # Of `dataset.crop` OmegaConf names `dataset`, which it does not find first.
            whole = re.match(r"Could not override '([^']+)'", text)
            if whole and whole[1].startswith(f"{key}."):
                key = whole[1]
            return unknown_key(key) + place
        return wrong_value(key, str(cause.msg or cause)) + place
    if match := re.search(r"Could not override '([^']+)'", text):
        return unknown_key(match[1])
    if match := re.search(r"Could not find '(\w+)/([^']*)'", text):
        options = " | ".join(
            text.partition("options in")[2].partition("Config search")[0].split()[1:]
        )
        return f"{match[1]}={match[2]} does not exist; {match[1]} takes {options}"
    if isinstance(error, OSError):
        # Hydra's own files come first, and no plan has tried the folder yet.
        given = [word.partition("=")[2] for word in sys.argv if word.startswith("output=")]
        output = (given or [Config().output])[-1]
        folder, file = Path(output).absolute(), Path(str(error.filename)).absolute()
        if file in (folder, *folder.parents) or file.is_relative_to(folder / ".hydra"):
            return (
                f"output={output}: cannot write there ({error.strerror}); make room or give "
                "access, or choose another folder with output=FOLDER"
            )
        return plain(error)
    if isinstance(error, MarkedYAMLError) and (mark := error.problem_mark):
        return f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(line.strip() for line in text.splitlines() if line.strip())
