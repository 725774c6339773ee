"""`python -m deepfake_lab.convert`: make a checkpoint or a vocoder of the lab out of published weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os.path import commonprefix
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from deepfake_lab.config import launch, resolved
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from torch import Tensor

    from deepfake_lab.models.detector import Detector

OURS = ("encoder.", "head.")
"""Beginnings of the names of those tensors of a detector that official weights have."""


def convert(composed: DictConfig) -> None:
    """Reads published weights, writes what the lab makes of them atomically, prints what became of what.

    Raises:
        LabError: the file is not what it should be, or the checkpoint cannot be written.
    """
    from deepfake_lab.synthesis.neural.published.reading import VOCODERS

    config = resolved(composed)
    source, target = Path(config["input"]), Path(config["output"])
    if config["source"] not in (known := ("aasist", *VOCODERS)):
        raise LabError(f"source={config['source']}: unknown. Choose one of: {', '.join(known)}.")
    _check(source, target)
    if config["source"] in VOCODERS:
        _convert_vocoder(config["source"], source, target)
    else:
        _convert_detector(config, source, target)


def _convert_vocoder(kind: str, source: Path, target: Path) -> None:
    from deepfake_lab.data.tensors import write_checkpoint
    from deepfake_lab.synthesis.neural.published.reading import read_published
    from deepfake_lab.synthesis.neural.weights import packed

    generator, settings = read_published(kind, source)
    with _writing(target):
        write_checkpoint(packed(generator, settings, {"converted": source.name}), target)
    count = sum(parameter.numel() for parameter in generator.parameters())
    print(f"{source}: {count:,} parameters of {kind} -> {target}")


def _convert_detector(config: dict[str, Any], source: Path, target: Path) -> None:
    from deepfake_lab.checkpoint import build_detector, save_detector
    from deepfake_lab.data.tensors import read_checkpoint

    detector = build_detector(config["model"])
    weights = read_checkpoint(source)
    load_aasist(detector, weights, source)
    with _writing(target):
        save_detector(detector, target)
    _print(detector, weights, source, target)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Says which file cannot be written."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise LabError(f"output={target}: cannot be written ({error}). Name another file.") from error


def load_aasist(detector: Detector, weights: Mapping[str, Any], source: Path) -> None:
    """Takes over official weights of AASIST; the score becomes the official one, the second logit.

    Raises:
        LabError: the detector is no AASIST, or the weights are not those of its size.
    """
    from deepfake_lab.models.aasist import AASIST
    from deepfake_lab.models.aasist_official import BONAFIDE_OUTPUT, official_name

    if not isinstance(detector.encoder, AASIST):
        raise LabError(f"source=aasist: the model is a {type(detector.encoder).__name__}. Leave out model=...")
    wanted = {name: tensor for name, tensor in detector.state_dict().items() if name.startswith(OURS)}
    # ours has one output where the official layer has two
    shapes = {
        official_name(name): (2, *tensor.shape[1:]) if name.startswith("head.") else tuple(tensor.shape)
        for name, tensor in wanted.items()
    }
    _compare(shapes, weights, source)
    converted = {name: weights[official_name(name)] for name in wanted}
    for name in ("head.weight", "head.bias"):
        converted[name] = converted[name][BONAFIDE_OUTPUT:]
    detector.load_state_dict(detector.state_dict() | converted)


def _compare(shapes: Mapping[str, tuple[int, ...]], weights: Mapping[str, Any], source: Path) -> None:
    """Refuses weights whose names or shapes are others than the official ones."""
    found = {name: tuple(getattr(value, "shape", ())) for name, value in weights.items()}
    complaints = {
        "missing": [name for name in shapes if name not in found],
        "unexpected": [str(name) for name in found if name not in shapes],
        "of another shape": [
            f"{name} {found[name]} instead of {shape}"
            for name, shape in shapes.items()
            if name in found and found[name] != shape
        ],
    }
    told = [
        f"{len(names)} {what}: {', '.join(names[:5])}{', ...' * (len(names) > 5)}"
        for what, names in complaints.items()
        if names
    ]
    if told:
        raise LabError(
            f"input={source}: not the weights of the official AASIST (297,866 parameters).\n  "
            + "\n  ".join(told)
            + "\nName its state dict, as torch.save wrote it."
        )


def _check(weights: Path, target: Path) -> None:
    if not weights.is_file():
        raise LabError(f"input={weights}: no such file. Name the file of the published weights (*.pth).")
    if target.exists() and target.samefile(weights):
        raise LabError(f"output={target}: is the input. Name another file, such as {target.with_suffix('.ckpt')}.")
    if target.is_dir() or not target.parent.is_dir():
        raise LabError(f"output={target}: is a folder, or lies in none. Name a file in a folder that exists.")


def _print(detector: Detector, weights: Mapping[str, Tensor], source: Path, target: Path) -> None:
    """Prints one line for each official module: its name in the detector, tensors and parameters taken over."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from deepfake_lab.models.aasist_official import official_name

    modules: dict[str, list[str]] = defaultdict(list)
    for name in detector.state_dict():
        if name.startswith(OURS):
            modules[official_name(name).partition(".")[0]].append(name)
    parameters = {name for name, _ in detector.named_parameters()}
    table = Table("official", "detector", "tensors", "parameters")
    total = 0
    for official, names in modules.items():
        ours = ".".join(commonprefix([name.split(".") for name in names]))  # noqa: RUF071  # of parts, not characters
        count = sum(weights[official_name(name)].numel() for name in names if name in parameters)
        table.add_row(official, ours, str(len(names)), f"{count:,}")
        total += count
    console = Console()
    console.print(table)
    console.print(f"{escape(str(source))}: {len(weights)} tensors, {total:,} parameters -> {escape(str(target))}")
    console.print("The score is the official second logit. It is not calibrated, so p_fake is not a probability.")


def main() -> None:
    """Entry point."""
    launch("convert", convert)


if __name__ == "__main__":
    main()
