"""`python -m deepfake_lab.audit`: say what is wrong with a corpus, before anything is learnt from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from deepfake_lab.config import build, launch, resolved
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from deepfake_lab.audio import Wave
    from deepfake_lab.evaluation.audit.audit import Audit, Subject, Treatment
    from deepfake_lab.models.treatment import Treatment as TreatmentModule
    from deepfake_lab.tracking import Tracking


def audit(composed: DictConfig) -> None:
    """Audits the corpus, prints what was found, writes a page and records a run; whatever the verdict, it succeeds.

    Raises:
        LabError: a corpus cannot be prepared, or the tracking store cannot be used.
    """
    config = resolved(composed)
    if not 0 < config["threshold"] <= 0.5:
        raise LabError(f"threshold={config['threshold']}: an EER of chance is 0.5, so choose from 0 to 0.5.")
    if config["limit"] < 1:
        raise LabError(f"limit={config['limit']}: listen to one utterance of each class at least.")
    tracking: Tracking = build(config["tracking"])
    tracking.connect()  # now, not after everything has been listened to
    from deepfake_lab.evaluation.audit.audit import Settings
    from deepfake_lab.evaluation.audit.audit import audit as look
    from deepfake_lab.evaluation.audit.report import print_audit

    subject = _subject(config["data"])
    found = look(
        subject,
        against=_subject(config["against"]) if config["against"] else None,
        treatment=_treatment(build(config["treatment"])),
        settings=Settings(config["limit"], config["threshold"], config["workers"], config["seed"]),
    )
    folder = Path(HydraConfig.get().runtime.output_dir)
    _record(found, subject, config, folder, tracking)
    print_audit(found)
    print(f"{folder / 'audit.html'}; MLflow run {folder.name}: {tracking.ui_hint}")


def _subject(node: dict[str, Any]) -> Subject:
    from deepfake_lab.data.noise import with_trials
    from deepfake_lab.evaluation.audit.audit import Subject

    corpus = with_trials(build(node))
    return Subject(corpus.name, corpus.prepare(), corpus.sources)


class _Treated:
    """A treatment of waveforms ``(T,)`` outside a detector."""

    def __init__(self, module: TreatmentModule) -> None:
        self.module = module

    def __call__(self, wave: Wave) -> Wave:
        import torch

        with torch.inference_mode():
            treated: Wave = self.module(torch.from_numpy(wave)[None])[0].numpy()
        return treated


def _treatment(module: TreatmentModule) -> Treatment | None:
    """What is asked for, or None where that is to leave the audio alone."""
    from deepfake_lab.evaluation.audit.audit import Treatment

    done = ["edges trimmed"] if module.trim else []
    if module.level_db is not None:
        done.append(f"level {module.level_db:g} dB")
    if module.band_hz is not None:
        done.append("band {:g} to {:g} Hz".format(*module.band_hz))
    changes = module.level_db is not None or module.band_hz is not None
    return Treatment(", ".join(done), module.trim, _Treated(module) if changes else None) if done else None


def _record(found: Audit, subject: Subject, config: dict[str, Any], folder: Path, tracking: Tracking) -> None:
    """Leaves page and cues in the folder, and everything in an MLflow run."""
    from deepfake_lab.data.files import whole
    from deepfake_lab.evaluation.audit.report import markdown, write_page
    from deepfake_lab.tracking import source_tags

    folder.mkdir(parents=True, exist_ok=True)
    write_page(found, folder / "audit.html")
    with whole(folder / "cues.parquet") as partial:
        found.all_cues().to_parquet(partial)
    verdicts = {f"fit.{verdict.purpose}": str(verdict.fit).lower() for verdict in found.verdicts}
    tags = source_tags() | verdicts | {"kind": "audit", "corpus": subject.name}
    tags |= {f"warning.{concern.code}": "true" for concern in found.concerns}
    with tracking.run(folder.name, tags=tags) as tracked:
        tracked.log_config(config)
        tracked.log_corpus(subject.name, subject.manifest)
        tracked.log_results(found.metrics(), step=0, description=markdown(found))
        for name in ("audit.html", "cues.parquet"):
            tracked.log_file(folder / name)


def main() -> None:
    """Entry point."""
    launch("audit", audit)


if __name__ == "__main__":
    main()
