"""The one task that trains any detector: a step, metrics over all trials of an epoch, the dev threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from deepfake_lab.augment.augmentation import Augmentation, Chain
from deepfake_lab.augment.mixup import Mixture, Mixup
from deepfake_lab.data.module import CorpusDataModule
from deepfake_lab.evaluation.calibrate import fit_affine
from deepfake_lab.evaluation.kept import KeptScores
from deepfake_lab.losses.loss import DetectionLoss
from deepfake_lab.metrics.detection import DetectionMetrics
from deepfake_lab.models.detector import Detector
from deepfake_lab.models.domain import DomainClassifier
from deepfake_lab.types import BONAFIDE, SPLITS, SPOOF, Batch, Domain, LabError, Output, Split


class DetectionTask(pl.LightningModule):
    """Trains a detector and measures it on whole splits.

    Dev decides, and nothing else: after every epoch of training it gives the calibration, so that scores are
    log-likelihood ratios, and the EER threshold behind accuracy, precision, recall, F1 and the confusion matrix of
    every split. Both are part of the checkpoint and stay as they are when it is tested, on whatever corpus; only a
    detector that brings no threshold takes them from that corpus's dev.

    Args:
        detector: what is trained.
        loss: training objective; it learns the class counts when training starts.
        optimizer: called with the groups of parameters to optimise.
        scheduler: called with the optimizer; stepped once an epoch.
        calibrate: fit the calibration on dev; otherwise scores are the raw ones.
        augment: what training does to batches of waveforms, in this order, by any name.
        augment_features: what training does to features.
        mixup: mixes the utterances of training batches.
        views: how often each utterance is in a training batch, each time augmented anew.
        seed: of dropout, augmentation and the like; a run resumed at an epoch boundary equals an unbroken one.

    Raises:
        LabError: there is less than one view.
    """

    def __init__(
        self,
        detector: Detector,
        loss: DetectionLoss,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        *,
        calibrate: bool = True,
        augment: Mapping[str, Augmentation] | None = None,
        augment_features: nn.Module | None = None,
        mixup: Mixup | None = None,
        views: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if views < 1:
            raise LabError(f"augment.views={views}: an utterance is in its batch at least once.")
        self.detector = detector
        self.detector.augment_features = augment_features or nn.Identity()
        self.augment = Chain(*(augment or {}).values())
        self.mixup = mixup
        self.views = views
        self.domain: tuple[Domain, float] | None = None
        self.domain_classifier: DomainClassifier | None = None
        self.calibrate = calibrate
        self.loss = loss
        self.seed = seed
        self._optimizer = optimizer
        self._scheduler = scheduler
        self.trials = nn.ModuleDict({f"{split}_trials": DetectionMetrics() for split in SPLITS})
        self._kept: dict[Split, KeptScores] = {}
        self.train_losses: list[float] = []
        """Mean training loss of each epoch so far; kept in the checkpoint."""
        self.terms: dict[str, Tensor] = {}
        """Terms of the last training loss."""

    def hide_domain(self, column: Domain, weight: float) -> None:
        """Has training keep the embedding from telling the domain of an utterance; to be called before it begins.

        Args:
            column: of the manifest, that names the domain.
            weight: of the reversed gradient; see `DomainClassifier`, which is no part of the detector.
        """
        self.domain = column, weight

    def keep(self, split: Split, kept: KeptScores) -> None:
        """Has the next pass over a split, outside of training, complete what is kept of its scores."""
        self._kept[split] = kept

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimises what requires a gradient, with the learning rates that parts of the detector ask for."""
        groups = self.detector.parameter_groups()
        beside = nn.ModuleList([self.loss, self.domain_classifier or nn.Identity()])
        groups[0]["params"] += [parameter for parameter in beside.parameters() if parameter.requires_grad]
        optimizer = self._optimizer(groups)
        scheduler = self._scheduler and self._scheduler(optimizer)
        self._rates = [_first_rate(group) for group in optimizer.param_groups]
        if scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}

    def setup(self, stage: str) -> None:
        """Tells the loss how many utterances of each class an epoch trains on, and makes the domain classifier."""
        # deterministic mode else fills every new tensor with NaN before use, a fifth of a step's time on a processor
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        data = self._data
        counts = data.training_counts()
        self.loss.set_prior(*(counts if all(counts) else (1, 1)))  # balanced, where there is nothing to train on
        if stage == "fit" and self.domain is not None:
            column, weight = self.domain
            domains = torch.from_numpy(data.training_domains(column))
            self.domain_classifier = DomainClassifier(self.detector.encoder.embedding_dim, domains, weight=weight)

    @property
    def _data(self) -> CorpusDataModule:
        data: CorpusDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    def on_train_start(self) -> None:
        """Has a resumed run learn at the rates of its configuration, which may be lower than in its checkpoint."""
        groups = self.trainer.optimizers[0].param_groups
        for group, rate in zip(groups, self._rates, strict=True):
            group["lr"] *= rate / _first_rate(group)  # a schedule goes on where it was
            if "initial_lr" in group:
                group["initial_lr"] = rate
        for schedule in self.trainer.lr_scheduler_configs:
            schedule.scheduler.base_lrs = list(self._rates)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch."""
        batch, mixture = self.augmented(batch, batch_idx)
        return self._step(batch, "train", mixture)

    def augmented(self, batch: Batch, batch_idx: int) -> tuple[Batch, Mixture | None]:
        """A training batch as the detector hears it; the mixture's waveforms, if there is one.

        All random draws of the step depend on seed, epoch, batch and process alone.
        """
        source = np.random.SeedSequence([self.seed, self.current_epoch, batch_idx, self.global_rank])
        self._seed_generators(int(source.generate_state(1)[0]))
        if self.views > 1:
            batch = _repeated(batch, self.views)
        with torch.autocast(self.device.type, enabled=False):
            batch = batch._replace(wave=self._trained_on(self.augment(batch.wave), batch.label))
            mixture = self.mixup(batch.wave) if self.mixup else None
        return batch, mixture

    def _trained_on(self, wave: Tensor, label: Tensor) -> Tensor:
        """Waveforms ``(B, T)`` to train on, of augmented ones: the same, unless a task differs here."""
        return wave

    def _seed_generators(self, seed: int) -> None:
        """Seeds the processor and the device in use. `torch.manual_seed` takes 1 ms over devices that are not there."""
        torch.default_generator.manual_seed(seed)
        if self.device.type != "cpu":
            torch.get_device_module(self.device).manual_seed(seed)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Scores a batch of dev."""
        self._step(batch, "dev")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Scores a batch of test."""
        self._step(batch, "test")

    def _terms(self, output: Output, batch: Batch, mixture: Mixture | None) -> dict[str, Tensor]:
        """Terms of the loss; of a mixture, its share of those of the own labels and the rest of the partners'."""
        own: dict[str, Tensor] = self.loss(output, batch)
        if mixture is None:
            return own
        other = self.loss(output, batch._replace(label=batch.label[mixture.partner]))
        return {name: torch.lerp(other[name], term, mixture.share) for name, term in own.items()}

    def _step(self, batch: Batch, split: Split, mixture: Mixture | None = None) -> Tensor:
        if batch.features is None:
            output = self.detector(batch.wave if mixture is None else mixture.wave)
        else:
            output = self.detector.of_features(batch.features.float())
        terms = self._terms(output, batch, mixture)
        loss: Tensor = torch.stack(list(terms.values())).sum()
        if split == "train":
            self.terms = {name: term.detach() for name, term in terms.items()}
        size = len(batch.label)
        logged = {f"{split}/loss": loss}
        if len(terms) > 1:
            logged |= {f"{split}/loss/{name}": term for name, term in terms.items()}
        if split in self._kept:
            self._kept[split].add(batch.row, output.raw_score, logged)
        else:
            self.log_dict(logged, on_step=False, on_epoch=True, batch_size=size, prog_bar=True, sync_dist=True)
        self._trials(split).update(batch.row, batch.label, output.raw_score)
        if split == "train" and self.domain_classifier is not None:
            loss = loss + self._domain_term(self.domain_classifier, output, batch, mixture)
        return loss

    def _domain_term(
        self, classifier: DomainClassifier, output: Output, batch: Batch, mixture: Mixture | None
    ) -> Tensor:
        """Cross-entropy of the domain classifier, in nats; no part of the logged loss, which is the detector's."""
        progress = self.trainer.global_step / self.trainer.estimated_stepping_batches
        logits, domain = classifier(output.embedding, progress), classifier.domain_of_row[batch.row]
        term = functional.cross_entropy(logits, domain)
        if mixture is not None:
            term = torch.lerp(functional.cross_entropy(logits, domain[mixture.partner]), term, mixture.share)
        logged = {"train/loss/domain": term, "train/domain_accuracy": (logits.argmax(1) == domain).float().mean()}
        self.log_dict(logged, on_step=False, on_epoch=True, batch_size=len(domain), sync_dist=True)
        return term

    def on_validation_epoch_end(self) -> None:
        """Takes calibration and threshold from dev, then measures dev with them."""
        self._complete("dev")
        if self.trainer.state.fn == TrainerFn.FITTING or self.detector.eer_threshold.isnan():
            self._learn_from_dev()
        self._measure("dev")

    def _complete(self, split: Split) -> None:
        """Adds the trials that were scored before, if scores are kept; all means are over all trials then."""
        kept = self._kept.pop(split, None)
        if kept is None:
            return
        kept.flush()
        names = kept.names
        fresh = torch.tensor(kept.sums(names, known=False), device=self.device)
        counted = self.trainer.strategy.reduce(fresh, reduce_op="sum").double().cpu().numpy()
        total, *sums = counted + kept.sums(names, known=True)
        self.log_dict({name: value / total for name, value in zip(names, sums, strict=True)})
        if self.trainer.is_global_zero:
            row, raw_score = (
                torch.tensor(kept.known[name].to_numpy(), device=self.device) for name in ("row", "raw_score")
            )
            label = torch.tensor(self._data.split(split).table["label"].to_numpy(), device=self.device)
            self._trials(split).update(row, label[row].long(), raw_score)

    def _learn_from_dev(self) -> None:
        metrics = self._trials("dev")
        metrics.calibration = (1.0, 0.0)
        raw_threshold = metrics.eer_threshold()
        _, label, raw_score = metrics.trials()
        scale, offset = 1.0, 0.0
        if self.calibrate and 0 < int(label.sum()) < len(label):
            scale, offset = fit_affine(raw_score[label == BONAFIDE], raw_score[label == SPOOF])
        self.detector.calibrate(scale, offset)
        self.detector.eer_threshold.fill_(scale * raw_threshold + offset)

    def on_train_epoch_end(self) -> None:
        """Measures the training split, on scores given while the detector was learning."""
        self._measure("train")
        self.train_losses.append(float(self.trainer.callback_metrics["train/loss"]))

    def on_test_epoch_end(self) -> None:
        """Measures test at the dev threshold of the checkpoint."""
        self._complete("test")
        self._measure("test")

    def on_validation_epoch_start(self) -> None:
        """Forgets the trials of the epoch before."""
        self._trials("dev").reset()

    def on_test_epoch_start(self) -> None:
        """Forgets earlier trials."""
        self._trials("test").reset()

    def _measure(self, split: Split) -> None:
        metrics = self._trials(split)
        metrics.threshold = float(self.detector.eer_threshold)
        metrics.calibration = (float(self.detector.calibration_scale), float(self.detector.calibration_offset))
        values = metrics.compute()
        if split == "train":
            metrics.reset()
        values |= {"lr": self.trainer.optimizers[0].param_groups[0]["lr"]} if split == "train" else {}
        self.log_dict({f"{split}/{name}": value for name, value in values.items()})
        self.log("step", float(self.current_epoch))  # the logger's x axis: epochs, not batches

    def _trials(self, split: Split) -> DetectionMetrics:
        metrics = self.trials[f"{split}_trials"]
        assert isinstance(metrics, DetectionMetrics)  # for the type checker: a ModuleDict forgets what it holds
        return metrics

    def scored(self, split: Split) -> tuple[Tensor, Tensor, Tensor]:
        """Trials of the last pass over a split, each once.

        Returns:
            index ``(N,)`` into the split's manifest, score ``(N,)``, raw score ``(N,)``.
        """
        index, _, raw_score = self._trials(split).trials()
        return index, self.detector.calibrated(raw_score), raw_score

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Makes the checkpoint self-contained: it carries what the detector is built from."""
        checkpoint["detector"] = self.detector.config
        checkpoint["train_losses"] = self.train_losses

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes up the loss history."""
        self.train_losses = list(checkpoint["train_losses"])


def _first_rate(group: Mapping[str, Any]) -> float:
    """Learning rate that a group of an optimizer's parameters began with; a schedule changes `lr` itself."""
    return float(group.get("initial_lr", group["lr"]))


def _repeated(batch: Batch, times: int) -> Batch:
    """A batch several times over."""
    wave, label, row = (torch.cat([part] * times) for part in batch[:3])
    return Batch(wave, label, row, batch.key * times)
