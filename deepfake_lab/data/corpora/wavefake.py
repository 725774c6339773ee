"""WaveFake: clips of LJSpeech and JSUT copied by seven neural vocoders (Frank & Schönherr, NeurIPS 2021).

`generated_audio/` holds fakes alone; the real clips come from LJSpeech, and from JSUT where one has it. The fakes say
what the real clips say: a split takes whole chapters of LJSpeech, with every fake made of them. Their lengths are
multiples of the vocoders' hops and the real ones' are not, so nothing that is trained may hear where a clip ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.data.corpora.wavefake_clips import (
    FAKES,
    JSUT,
    LAYOUT,
    LJSPEECH,
    PROMPTS,
    Collection,
    common_folder,
    faked,
    listed,
    recorded,
)
from deepfake_lab.data.download import OnError, locate
from deepfake_lab.data.inspection import Depth
from deepfake_lab.data.manifest import Finding
from deepfake_lab.data.release import Parsed, Release, check_names
from deepfake_lab.data.splits import SHARES, dealt
from deepfake_lab.types import LabError, Split


class WaveFake(Release):
    """WaveFake beside the recordings that it was made of.

    Args:
        root: the folder `generated_audio`.
        work: see `Release`.
        ljspeech_root: the folder `LJSpeech-1.1`.
        jsut_root: the folder `jsut_ver1.1`; None leaves out the fakes made of it.
        attacks: names of the fakes to take; None takes all that are there.
        held_out: names of fakes that occur in the test split only.
        shares: share of the groups (chapters, or sentences of other texts) that each split gets.
        seed: decides which groups.
        check: see `Release`.
        on_error: see `Release`.
        workers: see `Release`.
        shuffle_labels: see `Corpus`.

    Raises:
        LabError: `attacks` or `held_out` names what does not exist.
    """

    name = "wavefake"
    sources = ("ljspeech", "jsut", "wavefake")
    layout = LAYOUT
    rates = frozenset({22_050, 24_000, 48_000})

    def __init__(
        self,
        root: str | Path,
        work: str | Path,
        *,
        ljspeech_root: str | Path,
        jsut_root: str | Path | None = None,
        attacks: Sequence[str] | None = None,
        held_out: Sequence[str] = (),
        shares: Mapping[Split, float] = SHARES,
        seed: int = 0,
        check: Depth = "full",
        on_error: OnError = "raise",
        workers: int = 0,
        shuffle_labels: bool = False,
    ) -> None:
        super().__init__(root, work, check=check, on_error=on_error, workers=workers, shuffle_labels=shuffle_labels)
        self.ljspeech_root = Path(ljspeech_root)
        self.jsut_root = None if jsut_root is None else Path(jsut_root)
        self.attacks = list(dict.fromkeys(FAKES if attacks is None else attacks))
        self.held_out = list(held_out)
        self.shares = dict(shares)
        self.seed = seed
        check_names(self.attacks, list(FAKES), "data.attacks")
        check_names(self.held_out, list(FAKES), "data.held_out")

    @property
    def base(self) -> Path:
        """The folder that fakes and recordings both lie in."""
        return common_folder(self.root, self.ljspeech_root, self.jsut_root)

    @property
    def settings(self) -> dict[str, object]:
        """What the manifest depends on."""
        return super().settings | {
            "ljspeech_root": str(self.ljspeech_root.resolve()),
            "jsut_root": self.jsut_root and str(self.jsut_root.resolve()),
            "attacks": sorted(self.attacks),
            "held_out": sorted(self.held_out),
            "shares": self.shares,
            "seed": self.seed,
        }

    def parse(self) -> Parsed:
        """Lists the recordings and the folders of fakes; see `Release.parse`."""
        locate(self.ljspeech_root, ("metadata.csv",), name="LJSpeech", key="data.ljspeech_root")
        if self.jsut_root:
            locate(self.jsut_root, ("basic5000/wav",), name="JSUT", key="data.jsut_root")
        parts: list[pa.Table] = []
        findings: list[Finding] = []
        fakes = 0
        for collection in (LJSPEECH, JSUT, PROMPTS):
            tables, found = faked(self.root, self.base, self.name, self._wanted(collection))
            findings += found
            fakes += sum(map(len, tables))
            if collection is LJSPEECH or (collection is JSUT and tables):
                real, found = self._real(collection)
                tables.insert(0, real)
                findings += found
            if tables:
                parts.append(dealt(pa.concat_tables(tables), self.shares, self.seed))
        if not fakes:
            folders = ", ".join(FAKES[attack].folder for attack in self.attacks)
            raise LabError(f"data.root={self.root}: none of the chosen fakes is there ({folders}). Download some.")
        table, held = self._hold_out(pa.concat_tables(parts))
        return Parsed(table, [*findings, *self._left_out(), *held])

    def _wanted(self, collection: Collection) -> list[str]:
        """The chosen fakes of a collection, if there can be real clips beside them."""
        if collection is JSUT and self.jsut_root is None:
            return []
        return [attack for attack in self.attacks if FAKES[attack].collection is collection]

    def _real(self, collection: Collection) -> tuple[pa.Table, list[Finding]]:
        if collection is JSUT and self.jsut_root:
            return listed(self.jsut_root / "basic5000" / "wav", self.base, self.name, JSUT, None)
        return recorded(self.ljspeech_root, self.base, self.name)

    def _left_out(self) -> Iterator[Finding]:
        """The fakes without real clips beside them."""
        folders = [FAKES[attack].folder for attack in self.attacks if FAKES[attack].collection is JSUT]
        there = [folder for folder in folders if (self.root / folder).is_dir()]
        if there and self.jsut_root is None:
            text = f"{' and '.join(there)} left out: their real clips need data.jsut_root, a folder jsut_ver1.1"
            yield Finding("jsut", text, len(there))

    def _hold_out(self, table: pa.Table) -> tuple[pa.Table, list[Finding]]:
        """Takes the attacks that are held out from train and dev."""
        names = pa.array([f"{self.name}/{attack}" for attack in self.held_out], pa.string())
        seen_early = pc.and_(pc.is_in(table["attack"], names), pc.not_equal(table["split"], "test"))
        if not pc.any(seen_early).as_py():
            return table, []
        number = pc.sum(seen_early).as_py()
        text = f"in the test split only: {', '.join(self.held_out)}; {number:,} clips of train and dev are left out"
        return table.filter(pc.invert(seen_early)), [Finding("held_out", text, number)]
