"""The way every command starts: compose, run, explain what went wrong."""

from __future__ import annotations

import errno
import functools
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from deepfake_lab.config.checks import suggestion
from deepfake_lab.config.schema import CONF
from deepfake_lab.data.files import disk_error, is_disk_failure
from deepfake_lab.types import LabError

USER_ERROR = 2


class Terminated(KeyboardInterrupt):
    """SIGTERM: Slurm, docker and systemd send it some seconds before they kill."""


def launch(name: str, command: Callable[[DictConfig], Any]) -> None:
    """Composes `conf/{name}.yaml` with the command line and runs `command` on it.

    Errors that a user can mend are printed without a traceback, with suggestions for misspelt names, and end the
    process with status 2. SIGINT and SIGTERM end it with 130 and 143, and a line that says how to go on.
    """
    # A waiting thread must not spin: with another busy process on the machine a training step takes 15 times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing: the messages below are ours
    sys.argv[1:] = map(quoted, sys.argv[1:])
    try:
        with _terminable():
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(_job(name, command))()
    except KeyboardInterrupt as stop:
        _stop(stop, "the same command, called again, goes on")
    except (LabError, HydraException, OmegaConfBaseException) as error:
        _refuse(error, name)
    except OSError as error:
        _refuse(_of_disk(error), name)


def _job(name: str, command: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    """The command, but that a single job ends here on an error: Hydra would announce it in words of its own."""

    @functools.wraps(command)
    def job(composed: DictConfig) -> Any:  # noqa: ANN401
        try:
            return command(composed)
        except (KeyboardInterrupt, SystemExit) as stop:
            # Lightning turns an interruption into an exit of its own
            cause = stop.__context__ if isinstance(stop, SystemExit) else stop
            if not isinstance(cause, KeyboardInterrupt):
                raise
            if HydraConfig.get().mode != RunMode.RUN:
                raise cause from None
            run_dir = Path(HydraConfig.get().runtime.output_dir)
            resumable = name == "run" and (run_dir / "config.yaml").is_file()
            _stop(cause, f"resume={run_dir} goes on" if resumable else "the same command, called again, goes on")
        except (LabError, OSError) as error:
            told = error if isinstance(error, LabError) else _of_disk(error)
            if HydraConfig.get().mode == RunMode.RUN:
                _refuse(told, name)
            raise told from error.__cause__

    return job


@contextmanager
def _terminable() -> Iterator[None]:
    """Has SIGTERM interrupt the block as SIGINT does, so that what is open gets closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # Slurm ends data loaders too: PyTorch would call that an error
    raise Terminated


def _stop(interruption: KeyboardInterrupt, how_to_go_on: str) -> NoReturn:
    terminated = isinstance(interruption, Terminated)
    print(f"{'terminated' if terminated else 'interrupted'}: {how_to_go_on}", file=sys.stderr)
    sys.exit(128 + (signal.SIGTERM if terminated else signal.SIGINT))


def _of_disk(error: OSError) -> LabError:
    """What a full disk, or one that lets itself only be read, means for people; any other error is raised again."""
    if not is_disk_failure(error) or error.errno == errno.EIO:  # the latter may be of reading
        raise error
    # of a copy, the second name is that of the new file
    return disk_error(Path(error.filename2 or error.filename or "a file"), error.errno or 0)


def _refuse(error: Exception, name: str) -> NoReturn:
    print(f"error: {explain(error, name, sys.argv[1:])}", file=sys.stderr)
    sys.exit(USER_ERROR)


def quoted(argument: str) -> str:
    """An argument that Hydra takes as it stands: paths with umlauts, brackets or commas need quotes in its grammar."""
    key, equals, value = argument.partition("=")
    if argument.startswith("-") or not equals:
        return argument
    try:
        override = OverridesParser.create().parse_override(argument)
        plain = not (override.is_sweep_override() and Path(value).exists())
    except HydraException:
        plain = False
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return argument if plain else f"{key}='{escaped}'"


def explain(error: Exception, config_name: str, overrides: Sequence[str]) -> str:
    """One message out of an error: what is wrong, and the nearest name that exists."""
    if isinstance(error, LabError):
        # an error out of a data worker comes with its traceback in front
        return re.sub(r"\ACaught \w+ in DataLoader worker.*\n[\w.]*Error: ", "", str(error), flags=re.DOTALL)
    if missing := re.search(r"Could not find '([^']+)/([^'/]+)'", str(error)):
        group, choice = missing.groups()
        options = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        return f"{group}={choice}: no such choice. {suggestion(choice, options)}Choices: {', '.join(options)}."
    if unknown := re.search(r"Could not (?:override|append to config|delete from config)[^']*'([^']+)'", str(error)):
        key, known = unknown.group(1), known_keys(config_name, overrides)
        if key in known:
            return f"{key}: an entry is new to it. To add one, write +{key}=..."
        return f"{key}: no such key. {suggestion(key, known)}--cfg job shows every key."
    if mandatory := re.search(r"Missing mandatory value: ([\w.]+)", str(error)):
        return f"{mandatory.group(1)} is needed: {mandatory.group(1)}=... (--help shows the keys)."
    cause = f": {str(error.__cause__).splitlines()[0]}" if error.__cause__ else ""
    return f"{str(error).splitlines()[0]}{cause}"


def known_keys(config_name: str, overrides: Sequence[str]) -> list[str]:
    """Dotted keys of the composed configuration, with those group choices of the command line that exist."""
    groups = [
        o for o in overrides if re.fullmatch(r"[a-z_/]+=\w+", o) and (CONF / f"{o.replace('=', '/')}.yaml").is_file()
    ]
    return list(_dotted(OmegaConf.to_container(compose(config_name, groups), resolve=False)))


def compose(name: str, overrides: Sequence[str] = (), *, with_hydra: bool = False) -> DictConfig:
    """Composes `conf/{name}.yaml` from within another command; with Hydra's own part, if asked."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(name, list(overrides), return_hydra_config=with_hydra)


def _dotted(config: object, prefix: str = "") -> Iterator[str]:
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield f"{prefix}{key}"
            yield from _dotted(value, f"{prefix}{key}.")
