"""`python -m deepfake_lab.synthesize`: train a neural vocoder on real speech, or copy recordings with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from deepfake_lab.config import build, chosen, launch, resolved
from deepfake_lab.types import BONAFIDE, SPLITS, LabError

if TYPE_CHECKING:
    from deepfake_lab.data.corpora.copy_synthesis import Sentence
    from deepfake_lab.data.corpus import Corpus
    from deepfake_lab.data.manifest import Manifest
    from deepfake_lab.tasks.vocoder import Limit, Session
    from deepfake_lab.tracking import Run, Tracking


def synthesize(composed: DictConfig) -> None:
    """Trains a vocoder or applies it.

    Raises:
        LabError: a setting means nothing, the corpus has no bona fide speech, or files cannot be used.
    """
    config = resolved(composed)
    if config["stage"] == "train":
        _train(config, chosen(composed))
    elif config["stage"] == "apply":
        _apply(config)
    else:
        raise LabError(f"stage={config['stage']}: choose train or apply.")


def _train(config: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Trains to the limit, from the beginning or from where an earlier call was stopped."""
    from deepfake_lab.tasks.vocoder import Limit

    limit = Limit(config["steps"], config["minutes"])
    for name in ("batch_size", "segment_s", "checkpoint_every"):
        if config[name] <= 0:
            raise LabError(f"{name}={config[name]}: a number above 0 is needed.")
    tracking: Tracking = build(config["tracking"])
    tracking.connect()  # now, not after minutes of training
    corpus = _corpus(config["data"])
    manifest = _bonafide(corpus, ["train"])  # voices of dev and test must not be heard here
    session = _session(config, manifest)
    steps = session.training.steps
    if session.weights.is_file() and steps and limit.reached(session):
        print(f"{session.weights}: trained already, {steps:,} steps. A higher limit trains more, force=true anew.")
        return
    _tracked_training(config, parameters, tracking, corpus, manifest, session, limit)
    loss = session.recent(config["checkpoint_every"])["train/stft"]
    steps, minutes = session.training.steps, session.seconds / 60
    print(f"{session.weights}: {steps:,} steps in {minutes:.1f} min, multi-resolution STFT loss {loss:.3f}")
    print(f"MLflow run {session.run_id}: {tracking.ui_hint}")


def _session(config: Mapping[str, Any], manifest: Manifest) -> Session:
    import torch

    from deepfake_lab.checkpoint import device_called
    from deepfake_lab.synthesis.neural.training import Training
    from deepfake_lab.tasks.vocoder import Session

    torch.manual_seed(config["seed"])
    generator = build(config["vocoder"]).to(device_called(config["device"]))
    training: Training = build(config["training"], generator=generator)
    settings = {name: config[name] for name in ("vocoder", "training", "seed", "batch_size", "segment_s")}
    settings["corpus"] = manifest.digest
    return Session(training, settings, Path(config["weights"]), force=config["force"])


def _tracked_training(
    config: Mapping[str, Any],
    parameters: Mapping[str, Any],
    tracking: Tracking,
    corpus: Corpus,
    manifest: Manifest,
    session: Session,
    limit: Limit,
) -> None:
    """Trains inside an MLflow run, the same as before where a training goes on."""
    from deepfake_lab.data.files import whole
    from deepfake_lab.evaluation.plots.vocoder import loss_curves
    from deepfake_lab.tracking import source_tags

    session.weights.parent.mkdir(parents=True, exist_ok=True)
    tags = source_tags() | {"kind": "vocoder", "corpus": corpus.name, "seed": str(config["seed"])}
    with tracking.run(session.weights.stem, tags=tags, run_id=session.run_id) as tracked:
        session.run_id = tracked.id
        session.save()
        tracked.log_config(config, parameters)
        tracked.log_corpus(corpus.name, manifest)
        _learn(config, manifest, session, limit, tracked)
        session.save_weights()
        picture = session.weights.with_suffix(".png")
        with whole(picture) as partial:
            loss_curves(session.training.history).savefig(partial)
        for path in (session.weights, picture):
            tracked.log_file(path)


def _learn(config: Mapping[str, Any], manifest: Manifest, session: Session, limit: Limit, tracked: Run) -> None:
    from deepfake_lab.data.workers import progress
    from deepfake_lab.tasks.memory import keep_freed_memory
    from deepfake_lab.tasks.vocoder import segments

    keep_freed_memory()
    every, way = config["checkpoint_every"], limit.way(session)
    batches = segments(
        manifest,
        config["segment_s"],
        config["batch_size"],
        seed=config["seed"],
        first=session.training.steps,
        workers=config["workers"],
    )
    with progress(f"{session.weights.stem}: learning ({limit.unit})", way, limit.total) as advance:
        while not limit.reached(session):
            session.step(next(batches))
            advance(limit.way(session) - way)
            way = limit.way(session)
            if session.training.steps % every == 0:
                session.save()
                tracked.log_metrics(session.recent(every), session.training.steps)
    session.save()


def _corpus(node: Mapping[str, Any]) -> Corpus:
    from deepfake_lab.data.noise import with_trials

    return with_trials(build(node))


def _bonafide(corpus: Corpus, splits: Sequence[str]) -> Manifest:
    """Bona fide utterances of some splits.

    Raises:
        LabError: there are none, or files are missing.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from deepfake_lab.data import guards

    manifest = corpus.prepare()
    real = pc.equal(manifest.table["label"], BONAFIDE)
    there = pc.is_in(manifest.table["split"], pa.array(splits, pa.string()))
    found = replace(manifest, table=manifest.table.filter(pc.and_(real, there)))
    if not len(found):
        raise LabError(f"data={corpus.name}: no bona fide utterances in {', '.join(splits)}. Choose another corpus.")
    guards.check_files(found)
    return found


def _apply(config: Mapping[str, Any]) -> None:
    """Copies recordings, and writes the originals alike: `[SPLIT/]bonafide` and `[SPLIT/]spoof/NAME` of the output."""
    from deepfake_lab.data.corpora.copy_synthesis import make_clips
    from deepfake_lab.synthesis.neural.vocoder import NeuralVocoder

    if config["output"] is None:
        raise LabError("output is needed: output=FOLDER, where the copies go.")
    vocoder = NeuralVocoder(config["weights"])
    if missing := vocoder.missing():
        raise LabError(f"weights={config['weights']}: {missing}.")
    output, name = Path(config["output"]), Path(config["weights"]).stem
    number = 0
    for folder, sentences in _recordings(config, output):
        made = {f"spoof/{name}": vocoder}
        title = f"{name}: copying to {folder}"
        make_clips(sentences, made, folder, seed=config["seed"], workers=config["workers"], title=title)
        number += len(sentences)
    print(f"{output}: {number:,} recordings and their copies by {name}, as data=folder data.root={output} wants them")


def _recordings(config: Mapping[str, Any], output: Path) -> Iterator[tuple[Path, list[Sentence]]]:
    """Folders to write to, and what is to be copied there."""
    if config["input"] is not None:
        yield output, _found(Path(config["input"]), output)
        return
    corpus = _corpus(config["data"])
    for split in config["splits"]:
        if split not in SPLITS:
            raise LabError(f"splits: no split '{split}'. Choose from {', '.join(SPLITS)}.")
        manifest = _bonafide(corpus, [split])
        paths = [manifest.root / path for path in manifest.table["path"].to_pylist()]
        yield output / split, _named(manifest.table["key"].to_pylist(), paths)


def _found(source: Path, output: Path) -> list[Sentence]:
    """A recording, or all recordings in a folder.

    Raises:
        LabError: there are none, or the copies would be found among them.
    """
    from deepfake_lab.audio import AUDIO_SUFFIXES

    base = source if source.is_dir() else source.parent
    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    paths = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()]
    if not paths:
        raise LabError(f"input={source}: no audio there. Name a recording, or a folder to search.")
    if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
        raise LabError(f"output={output}: lies in the input, where copies would be copied. Name another folder.")
    return _named([path.relative_to(base).with_suffix("").as_posix() for path in paths], paths)


def _named(names: Sequence[str], paths: Sequence[Path]) -> list[Sentence]:
    """Recordings under names that are no paths.

    Raises:
        LabError: two would have the same.
    """
    from deepfake_lab.data.corpora.copy_synthesis import Sentence

    plain = [name.replace("/", "-") for name in names]
    name, number = Counter(plain).most_common(1)[0]
    if number > 1:
        raise LabError(f"{number} recordings would become {name}.flac. Rename them, or copy them one by one.")
    return [Sentence(name, path) for name, path in zip(plain, paths, strict=True)]


def main() -> None:
    """Entry point."""
    launch("synthesize", synthesize)


if __name__ == "__main__":
    main()
