"""`python -m deepfake_lab.predict`: say of recordings how probably they are fake, how sure that is, and where."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from deepfake_lab.config import launch, resolved
from deepfake_lab.data.files import Rows, whole
from deepfake_lab.serving.prediction import Prediction, prediction, record
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from deepfake_lab.serving.decoding import Recording
    from deepfake_lab.serving.judge import Judge, Judgement

_STATUS = {"spoof": 1, "undecided": 3, "bonafide": 0}
"""Exit status of `exit_code=verdict`, the first of these that any recording got; 2 is that of errors."""


def predict(composed: DictConfig) -> None:
    """Scores every recording, prints a table, writes what is asked for; exits with the verdict's status if asked to.

    Raises:
        LabError: the checkpoint cannot be used, there is no audio, or files could not be decoded; the others have been
            scored and written by then.
    """
    config = resolved(composed)
    _check(config)
    recordings = list(find_recordings(config["input"]))
    from deepfake_lab.audio import AudioError
    from deepfake_lab.checkpoint import device_called, load_detector
    from deepfake_lab.serving.judge import Judge

    detector = load_detector(config["checkpoint"]).to(device_called(config["device"]))
    settings = {key: config[key] for key in ("threshold", "windows", "hop_s", "batch_size")}
    judge = Judge(detector, prior=config["prior"]["spoof"], **settings)
    draw = _explained(config["explain"], judge)
    predictions, broken = [], []
    with _written(config["output"], details=config["details"]) as write, _progress(recordings) as tell:
        for recording in recordings:
            try:
                judgement = judge(recording, tell(recording))
            except AudioError as error:
                broken.append(str(error))
                continue
            predictions.append(prediction(recording.name, judgement))
            write(predictions[-1], judgement)
            draw(recording, judgement)
    _print(predictions)
    if broken:
        raise LabError("\n  ".join([f"{len(broken)} of {len(recordings)} files could not be scored:", *broken]))
    if config["exit_code"] == "verdict":
        said = {one.verdict for one in predictions}
        sys.exit(next(status for verdict, status in _STATUS.items() if verdict in said))


def find_recordings(given: str | Sequence[str]) -> Iterator[Recording]:
    """What an input names: a file, all audio below a folder, what fits a pattern, "-" for standard input; or several.

    Raises:
        LabError: there is nothing to listen to.
    """
    from deepfake_lab.serving.decoding import Recording

    for one in [given] if isinstance(given, str) else given:
        if one == "-":
            yield Recording(sys.stdin.buffer.read(), "-")
        else:
            yield from (Recording(path, str(path)) for path in find_audio(Path(one)))


def find_audio(source: Path) -> list[Path]:
    """The file itself, every audio file below a folder, or every file that fits a pattern (`calls/**/*.mp3`), sorted.

    Raises:
        LabError: there is nothing to listen to.
    """
    import glob

    from deepfake_lab.audio import AUDIO_SUFFIXES

    if source.is_file():
        return [source]
    endings = f"Known endings: {' '.join(sorted(AUDIO_SUFFIXES))}."
    if source.is_dir():
        found = [path for path in source.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()]
        missing = f"no audio files in this folder. {endings}"
    elif glob.has_magic(str(source)):
        found = [path for path in map(Path, glob.glob(str(source), recursive=True)) if path.is_file()]
        missing = "no file fits this pattern. Quote it, so that the shell leaves it alone."
    else:
        raise LabError(f"input={source}: no such file or folder. Name a recording, a folder to search, or - for stdin.")
    if not found:
        raise LabError(f"input={source}: {missing}")
    return sorted(found)


def _check(config: dict[str, Any]) -> None:
    from deepfake_lab.audio import AUDIO_SUFFIXES

    if config["output"] is not None and Path(config["output"]).suffix.lower() in AUDIO_SUFFIXES:
        raise LabError(f"output={config['output']}: is a recording's name. Name a table: output=scores.csv.")
    if config["exit_code"] not in ("files", "verdict"):
        raise LabError(f"exit_code={config['exit_code']}: choose files or verdict.")


_Write = Callable[[Prediction, "Judgement"], None]


@contextmanager
def _written(output: str | None, *, details: bool) -> Iterator[_Write]:
    """Writes every row as soon as it is known, so that an interruption loses nothing; see `Rows`."""
    if output is None:
        yield lambda _row, _judgement: None
        return
    try:
        rows = Rows(Path(output))
    except OSError as error:
        raise LabError(f"output={output}: cannot be written ({error.strerror}). Name another file.") from error
    with rows:
        yield _json_lines(rows) if Path(output).suffix.lower() in (".json", ".jsonl") else _csv(rows, details=details)


def _csv(rows: Rows, *, details: bool) -> _Write:
    columns = [field.name for field in fields(Prediction)]
    columns = columns if details else columns[: columns.index("windows") + 1]
    writer = csv.DictWriter(rows, columns, extrasaction="ignore")
    writer.writeheader()
    return lambda row, _judgement: writer.writerow(asdict(row))


def _json_lines(rows: Rows) -> _Write:
    """A line a recording, with all that there is to say."""
    return lambda row, judgement: rows.write(json.dumps(record(row, judgement), ensure_ascii=False) + "\n")


def _explained(folder: str | None, judge: Judge) -> Callable[[Recording, Judgement], None]:
    """Draws in a folder what drove each score, `NAME.png` for a recording NAME."""
    if folder is None:
        return lambda _recording, _judgement: None
    from deepfake_lab.evaluation.plots.explanation import explanation
    from deepfake_lab.serving.explain import Explainer

    explain, drawn = Explainer(judge), set[str]()

    def draw(recording: Recording, judgement: Judgement) -> None:
        name = "stdin" if recording.name == "-" else Path(recording.name).name
        names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))  # folders repeat names
        drawn.add(free := next(one for one in names if one not in drawn))
        figure = explanation(explain(recording), judgement, recording.name)
        try:
            with whole(Path(folder, f"{free}.png")) as partial:
                figure.savefig(partial, dpi=120)
        except OSError as error:
            raise _unwritable(folder, error) from error

    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return draw


def _unwritable(folder: str, error: OSError) -> LabError:
    return LabError(f"explain={folder}: cannot be written ({error.strerror}). Name another folder.")


@contextmanager
def _progress(recordings: Sequence[Recording]) -> Iterator[Callable[[Recording], Callable[[float], None]]]:
    """Bars for the recordings, and for what of the one at hand is heard, where its header tells how long it is."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        all_of_them = progress.add_task("listening", total=len(recordings), visible=len(recordings) > 1)
        this_one = progress.add_task("", visible=False)

        def tell(recording: Recording) -> Callable[[float], None]:
            done = int(progress.tasks[0].completed) if progress.tasks[1].description else -1
            progress.update(all_of_them, completed=done + 1)
            length = recording.stated_s()
            progress.reset(this_one, total=length, visible=(length or 0) > 60, description=Path(recording.name).name)
            return lambda heard_s: progress.update(this_one, completed=heard_s)

        yield tell


def _print(predictions: list[Prediction]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("file", "p_fake", "95 %", "verdict", "score", "s", "speech", "where", "reason"):
        table.add_column(name, no_wrap=name not in ("file", "where", "reason"), overflow="fold")
    colours = {"spoof": "red", "bonafide": "green", "undecided": "yellow"}
    for one in predictions:
        stretches = one.where.split()
        cells = (
            f"{one.p_fake:.3f}",
            "" if one.p_fake_low is None else f"{one.p_fake_low:.2f}-{one.p_fake_high:.2f}",
            f"[{colours[one.verdict]}]{one.verdict}[/]",
            f"{one.score:+.2f}",
            f"{one.duration_s:.1f}",
            f"{one.speech_s:.1f}",
            " ".join(stretches[:3]) + (f" +{len(stretches) - 3}" if len(stretches) > 3 else ""),
            one.reason,
        )
        table.add_row(escape(one.path), *cells)
    Console().print(table)


def main() -> None:
    """Entry point."""
    launch("predict", predict)


if __name__ == "__main__":
    main()
