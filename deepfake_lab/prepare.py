"""`python -m deepfake_lab.prepare`: find and check the files of a corpus, write its manifest, say what is in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from deepfake_lab.config import build, launch, resolved
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from deepfake_lab.data.corpus import Corpus
    from deepfake_lab.data.manifest import Finding, Manifest
    from deepfake_lab.data.noise import NoiseCollection


def prepare(composed: DictConfig) -> None:
    """Prepares a corpus or a noise collection, and prints what is in it and what speaks against its use.

    Raises:
        LabError: the audio is missing, or does not have the layout of the corpus.
    """
    config = resolved(composed)
    from deepfake_lab.data.corpus import Corpus

    chosen: Corpus | NoiseCollection = build(config["data"])
    if isinstance(chosen, Corpus):
        _prepare_corpus(chosen, force=config["force"])
    else:
        _prepare_noise(chosen, force=config["force"])


def _prepare_corpus(corpus: Corpus, *, force: bool) -> None:
    from deepfake_lab.data import guards

    manifest = corpus.prepare(force=force)
    _print_contents(manifest)
    if corpus.expected():
        _print_published(corpus, manifest)
    print(f"{len(manifest):,} utterances in {corpus.manifest_path} (sha256 {manifest.digest[:12]})")
    guards.check_files(manifest)
    stages = ["fit", "test"] if any(manifest.counts()["train"]) else ["test"]
    try:
        _print_findings(guards.check(manifest, stages))
    except LabError as refusal:  # prepared all the same: it may be of use within a mix
        _print_findings(manifest.findings)
        print(f"! NOT FOR A RUN OF ITS OWN. {refusal}")
        return
    if stages == ["test"]:
        print("For evaluation: python -m deepfake_lab.run stages=[test] checkpoint=runs/NAME/detector.ckpt ...")


def _prepare_noise(collection: NoiseCollection, *, force: bool) -> None:
    manifest = collection.prepare(force=force)
    rows = ((part.kind, part.split, f"{part.files:,}", f"{part.hours:.2f}") for part in manifest.contents())
    _print_table("Contents", ("kind", "split", "files", "hours"), rows)
    print(f"{len(manifest):,} recordings in {collection.manifest_path} (sha256 {manifest.digest[:12]})")
    _print_findings(manifest.findings)


def _print_contents(manifest: Manifest) -> None:
    """Number and hours of utterances by split and attack."""
    rows = manifest.table.select(["split", "attack", "speaker", "frames", "sample_rate"]).to_pandas()
    rows["hours"] = rows["frames"] / rows["sample_rate"] / 3600
    cells = (
        (split, attack, f"{len(part):,}", f"{part['hours'].sum():.2f}", str(part["speaker"].nunique()))
        for (split, attack), part in rows.groupby(["split", "attack"])
    )
    _print_table("Contents", ("split", "attack", "utterances", "hours", "speakers"), cells)


def _print_published(corpus: Corpus, manifest: Manifest) -> None:
    """Numbers of utterances beside those that the authors of the corpus state."""
    counts = manifest.counts()
    rows = []
    for split, published in corpus.expected().items():
        for name, found, stated in zip(("bona fide", "spoof"), counts[split], published, strict=True):
            colour = "green" if found == stated else "yellow"
            rows.append((split, name, f"[{colour}]{found:,}[/]", f"{stated:,}"))
    _print_table("Published counts", ("split", "class", "in the manifest", "published"), rows)


def _print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _print_findings(findings: Iterable[Finding]) -> None:
    for finding in findings:
        print(f"! {finding.text}")


def main() -> None:
    """Entry point."""
    launch("prepare", prepare)


if __name__ == "__main__":
    main()
