"""openprompts: human speech from Debian packages against synthetic speech made from it and from text.

Anybody can rebuild it without registration. Bona fide recordings are split by speaker; beside each stands one spoof:
a vocoder's copy of it, or a sentence spoken by a text-to-speech system. Everything else is alike for both classes.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.data.corpora.openprompts_clips import Clip, Prompt, System, TextToSpeech, Vocoder, fake_spans
from deepfake_lab.data.corpora.openprompts_packages import find_prompts
from deepfake_lab.data.corpora.openprompts_plan import Plan, plan
from deepfake_lab.data.corpora.openprompts_voices import COLLECTIONS, TELEPHONE_VOICES, WIDE_VOICES, Voice, notice
from deepfake_lab.data.corpora.openprompts_workers import Workers
from deepfake_lab.data.corpus import Corpus
from deepfake_lab.data.files import write_whole
from deepfake_lab.data.inspection import inspect
from deepfake_lab.data.manifest import NO_ATTACK, Finding, Manifest
from deepfake_lab.data.release import check_names
from deepfake_lab.data.turns import alone
from deepfake_lab.data.workers import say
from deepfake_lab.types import BONAFIDE, SAMPLE_RATE, SPLITS, SPOOF, LabError, Split


class _Preset(NamedTuple):
    """Which recordings there are, and how they are chosen; `most` is that of `plan`."""

    recipe: int  # raise it when the same configuration comes to mean other bytes
    voices: tuple[Voice, ...]
    most: int | None


_PRESETS: Final = {
    "small": _Preset(2, TELEPHONE_VOICES, 210),
    "full": _Preset(3, (*TELEPHONE_VOICES, *WIDE_VOICES), None),
}


class OpenPrompts(Corpus):
    """Human speech of many voices, and one spoof beside each clip.

    Args:
        root: folder that everything goes to.
        preset: "small" takes the first piece of up to 210 telephone prompts a language, "full" all pieces of all
            recordings of all voices.
        packages_dir: folder with the packages or their unpacked trees; None fetches them with apt.
        seed: same seed, same corpus, byte for byte.
        workers: processes; 0 takes one a core, eight at most.
        systems: synthesis systems by name; the name is the attack's. Without any, all clips are bona fide.
        splits: names of the systems that occur in each split of "small".
        full_splits: the same of "full"; None has every system in every split. Systems that the machine lacks when the
            corpus is planned are left out of it.
        held_out: names or families of systems whose clips are used in the test split alone. The clips stay: another
            choice makes nothing anew.
        dev_systems: names or families of the only systems whose clips dev has: threshold and calibration are learnt
            from them. Without any, dev has those of training.
        shuffle_labels: see `Corpus`.

    Raises:
        LabError: `splits`, `held_out` or `dev_systems` names a system that `systems` lacks, or a split has none.
    """

    name: ClassVar[str] = "openprompts"
    sources: ClassVar[tuple[str, ...]] = tuple(COLLECTIONS)

    def __init__(
        self,
        root: str | Path,
        *,
        systems: Mapping[str, System],
        splits: Mapping[Split, Sequence[str]] = MappingProxyType({}),
        preset: Literal["small", "full"] = "small",
        full_splits: Mapping[Split, Sequence[str]] | None = None,
        held_out: Sequence[str] = (),
        dev_systems: Sequence[str] = (),
        packages_dir: str | Path | None = None,
        seed: int = 0,
        workers: int = 0,
        shuffle_labels: bool = False,
    ) -> None:
        super().__init__(root, shuffle_labels=shuffle_labels)
        if preset == "full" or not systems:
            splits = {split: list(systems) for split in SPLITS} if full_splits is None else full_splits
        self.systems = dict(systems)
        self.splits: dict[Split, list[str]] = {split: list(splits.get(split, ())) for split in SPLITS}
        self.held_out = list(held_out)
        self.dev_systems = list(dev_systems)
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
            if (systems and not names) or (unknown := sorted(set(names) - set(self.systems))):
                what = f"no synthesis system '{unknown[0]}'" if names else "no synthesis system at all"
                key = "full_splits" if preset == "full" else "splits"
                raise LabError(f"data.{key}.{split}: {what}. Choose from data.systems: {', '.join(self.systems)}.")
        families = {family: None for system in self.systems.values() for family in system.families}
        check_names(self.held_out, [*self.systems, *families], "data.held_out")
        check_names(self.dev_systems, [*self.systems, *families], "data.dev_systems")

    @property
    def manifest_path(self) -> Path:
        """Where `prepare` leaves the manifest."""
        return self.root / "manifest.parquet"

    def prepare(self, *, force: bool = False) -> Manifest:
        """Builds the corpus unless it is there already with the same settings; see `Corpus.prepare`."""
        return self._hold_out(self._prepare(force=force))

    def _prepare(self, *, force: bool) -> Manifest:
        if not force and self.manifest_path.is_file() and self._planned() is not None:
            return super().prepare()
        try:
            with alone(self.root, f"prepares {self.name}") as waited:
                if self._planned() is None:
                    self.manifest_path.unlink(missing_ok=True)
                return super().prepare(force=force and not waited)  # it has just been built
        except OSError as error:  # of packages and folders; what is written whole says so itself
            free = shutil.disk_usage(self.root).free / 1e6
            what = f"{error.filename or self.root}: {error.strerror or error} ({free:.1f} MB free)"
            raise LabError(f"{what}. Make room, or choose another folder with data.root=DIR, and run again.") from error

    def build(self, *, force: bool) -> Manifest:
        """Makes all clips that are not there yet; see `Corpus.build`."""
        if (self.root / "audio").exists() and not self._plan_path.is_file():
            what = "was not made by openprompts. Choose another folder with data.root=DIR"
            raise LabError(f"{self.root / 'audio'}: {what}.")
        folders = find_prompts(self.root / "packages", self.packages_dir, self._preset.voices)
        with Workers(self.workers, self.systems, folders, self.root) as workers:
            if force:
                self._clear()
            clips = self._planned()
            if clips is None:
                clips = self._plan(workers, folders)
            for split in SPLITS:
                folder = self.root / "audio" / split
                folder.mkdir(parents=True, exist_ok=True)
                for partial in folder.glob(".*"):  # of a call that was killed while it wrote
                    partial.unlink()
            workers.make(clips, f"openprompts ({self.preset}): making clips")
        write_whole(self.root / "NOTICE", notice(self._preset.voices))
        rows = (self._row(clip, folders[clip.package]) for clip in clips)
        return Manifest.from_rows(rows, self.root, self.name)

    @property
    def _preset(self) -> _Preset:
        return _PRESETS[self.preset]

    @property
    def _plan_path(self) -> Path:
        return self.root / "plan.json"

    @property
    def _settings(self) -> dict[str, Any]:
        """What the bytes of the corpus depend on."""
        used = {name for names in self.splits.values() for name in names}
        systems = {name: repr(self.systems[name]) for name in sorted(used)}
        recipe = self._preset.recipe
        return {"recipe": recipe, "preset": self.preset, "seed": self.seed, "systems": systems, "splits": self.splits}

    def _planned(self) -> list[Clip] | None:
        """The clips that an earlier call planned; None if there was none, or with other settings."""
        planned = Plan.read(self._plan_path)
        if planned is None:
            return None
        wanted = self._settings
        before = planned.settings.get("systems", {})
        gone = {name: before[name] for name in wanted["systems"] if name in before and self.systems[name].missing()}
        wanted["systems"] |= gone  # what the machine has lost since then leaves its clips
        return planned.clips if planned.settings == wanted else None

    def _clear(self, kept: Set[str] = frozenset()) -> None:
        """Removes clips that an earlier call made, the manifest first, so that nobody reads a mixture."""
        self.manifest_path.unlink(missing_ok=True)
        for path in self.root.glob("audio/*/*"):
            if path.relative_to(self.root).as_posix() not in kept:
                path.unlink()
        if not kept:
            self._plan_path.unlink(missing_ok=True)

    def _plan(self, workers: Workers, folders: Mapping[str, Path]) -> list[Clip]:
        """Surveys the recordings, decides on the clips, keeps those that there are already, and writes that down."""
        files = [
            (voice, path.relative_to(folders[voice.package]).as_posix())
            for voice in self._preset.voices
            for path in voice.recordings(folders[voice.package])
        ]
        prompts = workers.survey(files)
        _tell_found(prompts)
        clips = plan(prompts, self.systems, self._present(), most=self._preset.most, seed=self.seed)
        planned, earlier = Plan(self._settings, clips), Plan.read(self._plan_path)
        self._clear(planned.same_files(earlier) if earlier else frozenset())
        planned.write(self._plan_path)
        return clips

    def _present(self) -> dict[Split, list[str]]:
        """The systems of each split without those that the machine lacks, which it tells of."""
        used = dict.fromkeys(name for names in self.splits.values() for name in names)
        missing = {name: why for name in used if (why := self.systems[name].missing())}
        for name, why in missing.items():
            say(f"openprompts: {name} is left out: {why}.")
        present = {split: [name for name in names if name not in missing] for split, names in self.splits.items()}
        for split, names in present.items():
            if self.splits[split] and not names:
                what = f"the machine lacks all of {', '.join(self.splits[split])}"
                raise LabError(f"openprompts, {split} split: {what}. Install one of them, or choose others.")
        return present

    def _hold_out(self, manifest: Manifest) -> Manifest:
        """Without the clips that `held_out` and `dev_systems` keep out of a split."""
        table = manifest.table
        held, own = (self._made_by(table, names) for names in (self.held_out, self.dev_systems))
        train, dev = (pc.equal(table["split"], split) for split in ("train", "dev"))
        held = pc.and_(held, pc.or_(train, dev))
        others = pc.and_(pc.and_(pc.equal(table["label"], SPOOF), pc.invert(own)), dev)
        left_out = {"held_out": (f"in the test split only: {', '.join(self.held_out)}", held)}
        if self.dev_systems:
            left_out["dev_systems"] = (f"dev has none but: {', '.join(self.dev_systems)}", pc.and_not(others, held))
        findings = list(manifest.findings)
        kept = pc.invert(functools.reduce(pc.or_, (rows for _, rows in left_out.values())))
        for code, (text, rows) in left_out.items():
            if number := pc.sum(rows).as_py():
                findings.append(Finding(code, f"{text}; {number:,} clips of train and dev are left out", number))
        return replace(manifest, table=table.filter(kept), findings=findings)

    def _made_by(self, table: pa.Table, names: Sequence[str]) -> pa.ChunkedArray:
        """Which rows are clips of systems that are named, or of a family that is."""
        made = [f"{self.name}/{name}" for name, system in self.systems.items() if {name, *system.families} & set(names)]
        return pc.is_in(table["attack"], pa.array(made, pa.string()))

    def _row(self, clip: Clip, folder: Path) -> dict[str, object]:
        real = clip.system == NO_ATTACK
        return {
            "key": clip.key,
            "path": clip.path,
            **inspect(self.root, clip.path).columns(),
            "label": BONAFIDE if real else SPOOF,
            "attack": NO_ATTACK if real else f"{self.name}/{clip.system}",
            "codec": clip.line.codec,
            "speaker": clip.speaker,
            "group": clip.group,
            "gender": clip.gender,
            "language": clip.language,
            "split": clip.split,
            "corpus": self.name,
            "spoof_spans": fake_spans(clip, self.systems.get(clip.system), folder),
        }


def _tell_found(prompts: Sequence[Prompt]) -> None:
    """Counts the speech of each voice, and the files that hold none; names some of the latter."""
    found: dict[Voice, list[int]] = {}
    for prompt in prompts:
        lengths = [piece.stop - piece.start for piece in prompt.pieces or ()]
        found.setdefault(prompt.voice, []).extend(lengths)
    lines = [
        f"{voice.split:<6}{voice.language:<4}{voice.collection.name}/{voice.speaker:<18}{len(lengths):>6,} pieces"
        f"{sum(lengths) / SAMPLE_RATE / 60:>7.1f} min"
        for voice, lengths in found.items()
    ]
    say("\n".join(["openprompts: speech found", *lines]))
    empty = [f"{prompt.voice.language}/{prompt.file}" for prompt in prompts if not prompt.pieces]
    if empty:
        shown = ", ".join(empty[:5])
        say(f"openprompts: {len(empty)} of {len(prompts)} prompts hold no usable speech and are left out: {shown}")
