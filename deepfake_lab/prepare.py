"""`python -m deepfake_lab.prepare`: build and validate the manifest of a corpus, and say what is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from deepfake_lab.config import build, launch, resolved

if TYPE_CHECKING:
    from deepfake_lab.data.corpus import Corpus
    from deepfake_lab.data.manifest import Manifest


def prepare(composed: DictConfig) -> None:
    """Prepares the corpus and prints a summary.

    Raises:
        LabError: the audio is missing, or the corpus is of no use for training.
    """
    config = resolved(composed)
    from deepfake_lab.data import guards

    corpus: Corpus = build(config["data"])
    manifest = corpus.prepare(force=config["force"])
    _print_contents(manifest)
    print(f"{len(manifest):,} utterances in {corpus.manifest_path} (sha256 {manifest.digest[:12]})")
    guards.check_files(manifest)
    for finding in guards.check(manifest):
        print(f"! {finding.text}")


def _print_contents(manifest: Manifest) -> None:
    """Number and hours of utterances by split and attack."""
    from rich.console import Console
    from rich.table import Table

    rows = manifest.table.select(["split", "attack", "speaker", "frames", "sample_rate"]).to_pandas()
    rows["hours"] = rows["frames"] / rows["sample_rate"] / 3600
    table = Table("split", "attack", "utterances", "hours", "speakers", title="Contents", title_justify="left")
    for (split, attack), part in rows.groupby(["split", "attack"]):
        table.add_row(split, attack, f"{len(part):,}", f"{part['hours'].sum():.2f}", str(part["speaker"].nunique()))
    Console().print(table)


def main() -> None:
    """Entry point."""
    launch("prepare", prepare)


if __name__ == "__main__":
    main()
