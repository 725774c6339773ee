"""openprompts: human telephone prompts from Debian packages against synthetic speech made from them and from text.

Anybody can rebuild it without registration. Bona fide prompts are split by speaker; beside each stands one spoof:
a vocoder's copy of it, or a sentence spoken by a text-to-speech system. Everything else is alike for both classes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import ClassVar, Final, Literal

import filelock
import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.data.corpora import openprompts_packages as packages
from deepfake_lab.data.corpora.openprompts_audio import Piece
from deepfake_lab.data.corpora.openprompts_clips import Clip, Prompt, System, TextToSpeech, Vocoder, plan
from deepfake_lab.data.corpora.openprompts_workers import Workers
from deepfake_lab.data.corpus import Corpus
from deepfake_lab.data.files import whole
from deepfake_lab.data.inspection import inspect
from deepfake_lab.data.manifest import NO_ATTACK, Finding, Manifest
from deepfake_lab.data.release import check_names
from deepfake_lab.data.workers import say
from deepfake_lab.types import BONAFIDE, SPLITS, SPOOF, LabError, Split

_RECIPE: Final = 2  # raise it when the same configuration comes to mean other bytes
_MOST_PROMPTS: Final[dict[str, int | None]] = {"small": 210, "full": None}
_NOT_SPEECH: Final = frozenset({"ascending-2tone", "beep", "beeperr", "descending-2tone", "tt-monkeys"})
_SHORTEST_PROMPT_S: Final = 1.5


class OpenPrompts(Corpus):
    """Voice prompts of five languages, and one spoof beside each.

    Args:
        root: folder that everything goes to.
        preset: "small" takes the first piece of up to 210 prompts a language, "full" all pieces of all prompts.
        packages_dir: folder with the packages or their unpacked trees; None fetches them with apt.
        seed: same seed, same corpus, byte for byte.
        workers: processes; 0 takes one a core, eight at most.
        systems: synthesis systems by name; the name is the attack's.
        splits: names of the systems that occur in each split of "small".
        full_splits: the same of "full"; None has every system in every split. Systems that the machine lacks when the
            corpus is planned are left out of it.
        held_out: names or families of systems whose clips are used in the test split alone. The clips stay: another
            choice makes nothing anew.
        shuffle_labels: see `Corpus`.

    Raises:
        LabError: `splits` or `held_out` names a system that `systems` lacks, or a split has none.
    """

    name: ClassVar[str] = "openprompts"
    sources: ClassVar[tuple[str, ...]] = (packages.COLLECTION,)

    def __init__(
        self,
        root: str | Path,
        *,
        systems: Mapping[str, System],
        splits: Mapping[Split, Sequence[str]],
        preset: Literal["small", "full"] = "small",
        full_splits: Mapping[Split, Sequence[str]] | None = None,
        held_out: Sequence[str] = (),
        packages_dir: str | Path | None = None,
        seed: int = 0,
        workers: int = 0,
        shuffle_labels: bool = False,
    ) -> None:
        super().__init__(root, shuffle_labels=shuffle_labels)
        if preset == "full":
            splits = {split: list(systems) for split in SPLITS} if full_splits is None else full_splits
        self.systems = dict(systems)
        self.splits: dict[Split, list[str]] = {split: list(splits.get(split, ())) for split in SPLITS}
        self.held_out = list(held_out)
        self.preset = preset
        self.packages_dir = None if packages_dir is None else Path(packages_dir)
        self.seed = seed
        self.workers = workers
        for name, system in self.systems.items():
            if not isinstance(system, Vocoder | TextToSpeech):
                raise LabError(
                    f"data.systems.{name}: {system!r} is not a synthesis system, which has a method vocode or speak."
                )
        for split, names in self.splits.items():
            if not names or (unknown := sorted(set(names) - set(self.systems))):
                what = f"no synthesis system '{unknown[0]}'" if names else "no synthesis system at all"
                key = "full_splits" if preset == "full" else "splits"
                raise LabError(f"data.{key}.{split}: {what}. Choose from data.systems: {', '.join(self.systems)}.")
        families = {family: None for system in self.systems.values() for family in system.families}
        check_names(self.held_out, [*self.systems, *families], "data.held_out")

    @property
    def manifest_path(self) -> Path:
        """Where `prepare` leaves the manifest."""
        return self.root / "manifest.parquet"

    def prepare(self, *, force: bool = False) -> Manifest:
        """Builds the corpus unless it is there already with the same settings; see `Corpus.prepare`."""
        return self._hold_out(self._prepare(force=force))

    def _prepare(self, *, force: bool) -> Manifest:
        if not force and self.manifest_path.is_file() and self._planned():
            return super().prepare()
        self.root.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.root / ".prepare.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            say(f"{self.root}: another process prepares this corpus; waiting for it.")
            lock.acquire()
            force = False  # it has just been built
        try:
            if not self._planned():
                self.manifest_path.unlink(missing_ok=True)
            return super().prepare(force=force)
        except OSError as error:  # of what is not a clip: packages, plan, manifest
            free = shutil.disk_usage(self.root).free / 1e6
            what = f"{error.filename or self.root}: {error.strerror or error} ({free:.1f} MB free)"
            raise LabError(f"{what}. Make room, or choose another folder with data.root=DIR, and run again.") from error
        finally:
            lock.release()

    def build(self, *, force: bool) -> Manifest:
        """Makes all clips that are not there yet; see `Corpus.build`."""
        prompts_of = packages.find_prompts(self.root / "packages", self.packages_dir)
        with Workers(self.workers, self.systems, prompts_of, self.root) as workers:
            if force or (clips := self._planned()) is None:
                self._clear()
                clips = self._plan(workers, prompts_of)
            for split in SPLITS:
                folder = self.root / "audio" / split
                folder.mkdir(parents=True, exist_ok=True)
                for partial in folder.glob(".*"):  # of a call that was killed while it wrote
                    partial.unlink()
            workers.make(clips, f"openprompts ({self.preset}): making clips")
        (self.root / "NOTICE").write_text(packages.NOTICE, encoding="utf-8")
        return Manifest.from_rows(map(self._row, clips), self.root, self.name)

    @property
    def _plan_path(self) -> Path:
        return self.root / "plan.json"

    @property
    def _settings(self) -> dict[str, object]:
        """What the bytes of the corpus depend on."""
        used = {name for names in self.splits.values() for name in names}
        systems = {name: repr(self.systems[name]) for name in sorted(used)}
        return {"recipe": _RECIPE, "preset": self.preset, "seed": self.seed, "systems": systems, "splits": self.splits}

    def _planned(self) -> list[Clip] | None:
        """The clips that an earlier call planned; None if there was none, or with other settings."""
        try:
            found = json.loads(self._plan_path.read_text(encoding="utf-8"))
            if found["settings"] != self._settings:
                return None
            return [
                Clip(**{**clip, "piece": Piece(*clip["piece"]), "margins": tuple(clip["margins"])})
                for clip in found["clips"]
            ]
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError) as error:
            raise LabError(
                f"{self._plan_path}: not a plan ({error!r}). Delete {self.root} and prepare again."
            ) from error

    def _clear(self) -> None:
        """Removes what an earlier call made, the manifest first, so that nobody reads a mixture."""
        if (self.root / "audio").exists() and not self._plan_path.is_file():
            raise LabError(
                f"{self.root / 'audio'}: was not made by openprompts. Choose another folder with data.root=DIR."
            )
        self.manifest_path.unlink(missing_ok=True)
        shutil.rmtree(self.root / "audio", ignore_errors=True)
        self._plan_path.unlink(missing_ok=True)

    def _plan(self, workers: Workers, folders: Mapping[str, Path]) -> list[Clip]:
        """Surveys the prompts, decides on the clips and writes that down."""
        files = [
            (language, path.relative_to(folder).as_posix())
            for language, folder in folders.items()
            for path in _candidates(folder)
        ]
        prompts = workers.survey(files)
        _tell_skipped(prompts)
        clips = plan(prompts, self.systems, self._present(), most=_MOST_PROMPTS[self.preset], seed=self.seed)
        content = {"settings": self._settings, "clips": [asdict(clip) for clip in clips]}
        with whole(self._plan_path) as partial:
            partial.write_text(json.dumps(content, indent=0, ensure_ascii=False), encoding="utf-8")
        return clips

    def _present(self) -> dict[Split, list[str]]:
        """The systems of each split without those that the machine lacks, which it tells of."""
        used = dict.fromkeys(name for names in self.splits.values() for name in names)
        missing = {name: why for name in used if (why := self.systems[name].missing())}
        for name, why in missing.items():
            say(f"openprompts: {name} is left out: {why}.")
        present = {split: [name for name in names if name not in missing] for split, names in self.splits.items()}
        for split, names in present.items():
            if not names:
                what = f"the machine lacks all of {', '.join(self.splits[split])}"
                raise LabError(f"openprompts, {split} split: {what}. Install one of them, or choose others.")
        return present

    def _hold_out(self, manifest: Manifest) -> Manifest:
        """Without the training and dev clips of held-out systems."""
        held = [
            f"{self.name}/{name}"
            for name, system in self.systems.items()
            if {name, *system.families} & set(self.held_out)
        ]
        table = manifest.table
        early = pc.and_(pc.is_in(table["attack"], pa.array(held, pa.string())), pc.not_equal(table["split"], "test"))
        if not (number := pc.sum(early).as_py()):
            return manifest
        text = f"in the test split only: {', '.join(self.held_out)}; {number:,} clips of train and dev are left out"
        findings = [*manifest.findings, Finding("held_out", text, number)]
        return replace(manifest, table=table.filter(pc.invert(early)), findings=findings)

    def _row(self, clip: Clip) -> dict[str, object]:
        real = clip.system == NO_ATTACK
        return {
            "key": clip.key,
            "path": clip.path,
            **inspect(self.root, clip.path).columns(),
            "label": BONAFIDE if real else SPOOF,
            "attack": NO_ATTACK if real else f"{self.name}/{clip.system}",
            "codec": "g722",
            "speaker": clip.speaker,
            "group": clip.group,
            "gender": clip.gender,
            "language": clip.language,
            "split": clip.split,
            "corpus": self.name,
        }


def _candidates(folder: Path) -> list[Path]:
    """Prompts that may be speech of some length: G.722 is 8,000 bytes a second. Empty files stay, to be told of."""
    found = sorted(path for path in folder.rglob("*.g722") if "silence" not in path.relative_to(folder).parts)
    return [
        path
        for path in found
        if path.stem not in _NOT_SPEECH and not 0 < path.stat().st_size < 8000 * _SHORTEST_PROMPT_S
    ]


def _tell_skipped(prompts: Sequence[Prompt]) -> None:
    """Names and counts the files that hold no audio or no speech."""
    empty = [f"{prompt.language}/{prompt.file}" for prompt in prompts if not prompt.pieces]
    if empty:
        shown = ", ".join(empty[:5])
        say(f"openprompts: {len(empty)} of {len(prompts)} prompts hold no usable speech and are left out: {shown}")
