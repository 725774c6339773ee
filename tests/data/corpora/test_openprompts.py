"""openprompts as a whole, built for real from KB-sized packages with the layout and the traps of the real ones."""

import dataclasses
import io
import re
import shutil
import sys
from pathlib import Path

import make_openprompts
import numpy as np
import pytest
import soundfile
from make_openprompts import contents, espeak_only, make_wide

from deepfake_lab.data.corpora.openprompts import OpenPrompts
from deepfake_lab.data.corpora.openprompts_audio import FRAME, rms_db
from deepfake_lab.data.spans import spans_of
from deepfake_lab.synthesis.espeak import Espeak
from deepfake_lab.synthesis.griffin_lim import GriffinLim
from deepfake_lab.synthesis.lpc import Lpc
from deepfake_lab.synthesis.piper import Piper
from deepfake_lab.synthesis.piper_voices import PiperVoices
from deepfake_lab.synthesis.splice import Splice
from deepfake_lab.synthesis.world import World
from deepfake_lab.types import LabError

ALL = {"world": World(), "griffin_lim": GriffinLim(), "espeak": Espeak(), "piper": Piper()}
ALL_SPLITS = {
    "train": ["world", "griffin_lim", "espeak"],
    "dev": ["espeak", "griffin_lim", "world"],
    "test": ["espeak", "griffin_lim", "world", "piper"],
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    return make_openprompts.make(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def built(packages, tmp_path_factory):
    """The corpus with all systems, and what was said while it was made."""
    root = tmp_path_factory.mktemp("built") / "corpus"
    with pytest.MonkeyPatch.context() as patch:
        said = io.StringIO()
        patch.setattr(sys, "stderr", said)
        manifest = OpenPrompts(root, packages_dir=packages, workers=1, systems=ALL, splits=ALL_SPLITS).prepare()
    return manifest, said.getvalue()


def rows(manifest):
    return manifest.table.to_pylist()


def test_each_split_is_half_fake_and_has_its_systems_and_speakers(built):
    manifest = built[0]
    assert manifest.counts() == {"train": (15, 15), "dev": (5, 5), "test": (5, 5)}
    for split, names in ALL_SPLITS.items():
        attacks = {row["attack"] for row in rows(manifest.split(split))}
        assert attacks == {"bonafide", *(f"openprompts/{name}" for name in names)}
    speakers = {split: {r["speaker"] for r in rows(manifest.split(split)) if r["label"] == 0} for split in ALL_SPLITS}
    assert speakers == {
        "train": {"asterisk/Allison", "asterisk/June"},
        "dev": {"asterisk/Carlo"},
        "test": {"asterisk/IvrvoiceRU"},
    }


def test_no_group_and_no_speaker_crosses_splits(built):
    for column in ("group", "speaker"):
        splits = {}
        for row in rows(built[0]):
            splits.setdefault(row[column], set()).add(row["split"])
        assert all(len(found) == 1 for found in splits.values()), column


def test_names_are_those_of_the_collection(built):
    for row in rows(built[0]):
        recorded = not row["attack"].endswith(("espeak", "piper"))
        prefix = f"{OpenPrompts.sources[0]}/" if recorded else "openprompts/"
        assert row["speaker"].startswith(prefix)
        assert row["group"].startswith(prefix)


def test_rows_say_where_the_sound_lies_and_what_it_is(built):
    hashes = [row["audio_hash"] for row in rows(built[0])]
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in hashes)
    assert len(set(hashes)) == len(hashes)
    for row in rows(built[0]):
        assert 0 <= row["speech_start"] < row["speech_start"] + row["speech_frames"] <= row["frames"]
    assert any(row["speech_start"] for row in rows(built[0]))


def test_a_copy_keeps_group_speaker_and_length_of_its_prompt(built):
    by_key = {row["key"]: row for row in rows(built[0])}
    copies = [row for row in by_key.values() if row["attack"].endswith(("world", "griffin_lim"))]
    assert len(copies) > 10
    for copy in copies:
        original = by_key[copy["key"].removesuffix("-" + copy["attack"].removeprefix("openprompts/"))]
        assert all(
            copy[name] == original[name] for name in ("group", "speaker", "gender", "language", "split", "frames")
        )


def test_text_to_speech_names_its_voice_and_sentence(built):
    piper = [row for row in rows(built[0]) if row["attack"] == "openprompts/piper"]
    assert [(row["speaker"], row["language"], row["split"]) for row in piper] == [
        ("openprompts/piper-en-joe", "en", "test")
    ] * len(piper)
    assert piper
    espeak = [row for row in rows(built[0]) if row["attack"] == "openprompts/espeak"]
    assert {row["language"] for row in espeak} == {"en", "es", "fr", "it", "ru"}
    assert all(row["speaker"].startswith(f"openprompts/espeak-{row['language']}") for row in espeak)
    assert all(row["group"].startswith(f"openprompts/{row['language']}-s") for row in espeak + piper)


def test_traps_are_left_out_and_told_of(built):
    manifest, said = built
    names = {row["key"].partition("-")[2] for row in rows(manifest) if row["label"] == 0}
    assert names == {"activated", "vm-deleted", "digits-h-80", "dictate-pause", "demo-instruct"}
    assert "10 of 35 prompts hold no usable speech" in said  # an empty and a near-silent one a language
    assert "en/is.g722" in said
    assert "making clips: 50 of 50" in said


def test_clips_are_16_bit_flac_with_margins_and_nothing_longer(built):
    manifest = built[0]
    for row in rows(manifest):
        info = soundfile.info(manifest.root / row["path"])
        assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", 16_000, 1)
        assert info.frames == row["frames"]
        assert info.frames % FRAME == 0
        assert 1.0 <= info.duration <= 6.5
        levels = rms_frames(soundfile.read(manifest.root / row["path"])[0])
        for edge in (levels, levels[::-1]):
            assert edge[:4].max() < levels.max() - 20
            assert 5 <= np.argmax(edge > levels.max() - 25) <= 30


def rms_frames(wave):
    return 10 * np.log10(np.square(wave.reshape(-1, FRAME)).mean(axis=1) + 1e-12)


def test_levels_of_both_classes_are_the_prompts(built):
    manifest = built[0]
    real, fake = (
        sorted(
            rms_db(soundfile.read(manifest.root / row["path"])[0]) for row in rows(manifest) if row["label"] == label
        )
        for label in (0, 1)
    )
    assert fake == pytest.approx(real, abs=0.5)


def test_held_out_systems_and_families_are_used_in_test_alone_and_nothing_is_made_anew(built):
    manifest = built[0]
    corpus = OpenPrompts(manifest.root, systems=ALL, splits=ALL_SPLITS, held_out=["source_filter", "espeak"])
    seen = corpus.prepare()  # without packages: it is made already
    attacks = {split: {row["attack"] for row in rows(seen.split(split))} for split in ALL_SPLITS}
    assert attacks["train"] == attacks["dev"] == {"bonafide", "openprompts/griffin_lim"}
    assert rows(seen.split("test")) == rows(manifest.split("test"))
    ((code, text, number),) = seen.findings
    assert (code, number) == ("held_out", len(manifest) - len(seen))
    assert text.startswith("in the test split only: source_filter, espeak;")
    with pytest.raises(LabError, match=r"data\.held_out: there is no 'worl'\. Did you mean world\?"):
        OpenPrompts(manifest.root, systems=ALL, splits=ALL_SPLITS, held_out=["worl"])


def test_dev_has_the_systems_that_are_to_judge(built):
    manifest = built[0]
    settings = {"systems": ALL, "splits": ALL_SPLITS, "held_out": ["espeak"]}
    seen = OpenPrompts(manifest.root, **settings, dev_systems=["source_filter"]).prepare()
    attacks = {split: {row["attack"] for row in rows(seen.split(split))} for split in ALL_SPLITS}
    assert attacks["dev"] == {"bonafide", "openprompts/world"}
    assert rows(seen.split("train")) == rows(OpenPrompts(manifest.root, **settings).prepare().split("train"))
    assert rows(seen.split("test")) == rows(manifest.split("test"))
    assert [code for code, _, _ in seen.findings] == ["held_out", "dev_systems"]
    assert sum(number for _, _, number in seen.findings) == len(manifest) - len(seen)
    assert seen.findings[1].text.startswith("dev has none but: source_filter;")
    with pytest.raises(LabError, match=r"data\.dev_systems: there is no 'worl'\. Did you mean world\?"):
        OpenPrompts(manifest.root, systems=ALL, splits=ALL_SPLITS, dev_systems=["worl"])


def test_systems_that_no_split_names_do_not_make_another_corpus(built):
    manifest = built[0]
    more = OpenPrompts(manifest.root, systems={"lpc": Lpc(), **ALL}, splits=ALL_SPLITS)
    assert more.prepare().digest == manifest.digest  # without packages


def test_full_has_every_system_that_the_machine_has_in_every_split(tmp_path, capsys):
    there, absent = {"lpc": Lpc(), "espeak": Espeak()}, {"piper_voices": PiperVoices(str(tmp_path))}
    corpus = OpenPrompts(tmp_path, systems=there | absent, splits=ALL_SPLITS, preset="full")
    assert set(map(tuple, corpus.splits.values())) == {("lpc", "espeak", "piper_voices")}
    assert set(map(tuple, corpus._present().values())) == {("lpc", "espeak")}
    assert "piper_voices is left out: no voice" in capsys.readouterr().err
    alone = {"train": ["lpc"], "dev": ["piper_voices"], "test": ["lpc"]}
    with pytest.raises(LabError, match="dev split: the machine lacks all of piper_voices"):
        OpenPrompts(tmp_path, systems=there | absent, splits=ALL_SPLITS, preset="full", full_splits=alone)._present()


def test_licences_are_told(built):
    notice = (built[0].root / "NOTICE").read_text()
    for words in ("Allison Smith", "June Wallack", "Carlo Flora", "CC BY-SA 3.0", "CC BY 3.0", "Changes:"):
        assert words in notice


def test_same_bytes_with_another_number_of_workers_and_from_debs(built, packages, tmp_path_factory):
    debs, tmp_path = (
        make_openprompts.make_debs(tmp_path_factory.mktemp("debs"), packages),
        tmp_path_factory.mktemp("corpus"),
    )
    OpenPrompts(tmp_path, packages_dir=debs, workers=2, systems=ALL, splits=ALL_SPLITS).prepare()
    assert contents(tmp_path) == contents(built[0].root)
    assert sorted(path.suffix for path in debs.iterdir()) == [".deb"] * 5  # what was downloaded stays as it was


def test_a_folder_of_somebody_else_is_left_alone(packages, tmp_path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/mine.wav").write_bytes(b"mine")
    with pytest.raises(LabError, match="was not made by openprompts"):
        espeak_only(tmp_path, packages).prepare(force=True)
    assert (tmp_path / "audio/mine.wav").read_bytes() == b"mine"


def test_a_damaged_plan_is_named(packages, tmp_path):
    (tmp_path / "plan.json").write_text('{"settings')
    with pytest.raises(LabError, match=r"plan\.json: not a plan .*Delete"):
        espeak_only(tmp_path, packages).prepare()


def test_systems_are_checked_before_any_work(tmp_path):
    with pytest.raises(
        LabError, match=r"data\.splits\.dev: no synthesis system 'espeek'\. Choose .* data\.systems: espeak"
    ):
        espeak_only(tmp_path, None, splits={"train": ["espeak"], "dev": ["espeek"], "test": ["espeak"]})
    with pytest.raises(LabError, match=r"data\.splits\.test: no synthesis system at all"):
        espeak_only(tmp_path, None, splits={"train": ["espeak"], "dev": ["espeak"]})
    with pytest.raises(LabError, match=r"data\.systems\.espeak: .* is not a synthesis system"):
        espeak_only(tmp_path, None, systems={"espeak": dataclasses.asdict(Espeak())})


@pytest.fixture(scope="module")
def speech(packages, tmp_path_factory):
    """The bona fide part of "full" and what was said; of each wide package there are a few recordings and traps."""
    make_wide(packages)
    root = tmp_path_factory.mktemp("speech") / "corpus"
    with pytest.MonkeyPatch.context() as patch:
        said = io.StringIO()
        patch.setattr(sys, "stderr", said)
        manifest = OpenPrompts(root, packages_dir=packages, workers=1, systems={}, preset="full").prepare()
    return manifest, said.getvalue()


def test_full_takes_the_wide_voices_and_leaves_effects_copies_and_narrow_bands(speech):
    manifest, said = speech
    wide = {row["key"]: row for row in rows(manifest) if row["codec"] == "none"}
    assert set(wide) == {
        "tuxpaint-be-animals-cat_desc_be",
        "tuxpaint-ru-animals-cat_desc_ru",
        "ktuberling-da-da-hat",
        "ktuberling-uk-uk-hat",
        "hedgewars-en-British-Amazing",
        "fillets-cs-airplane-cs-let-v-oko",
    }
    assert wide["tuxpaint-be-animals-cat_desc_be"]["speaker"] == "tuxpaint/KseniyaBuraya"
    assert {(row["language"], row["split"]) for row in wide.values()} == {
        *(("be", "train"), ("ru", "test"), ("da", "test"), ("uk", "dev"), ("en", "train"), ("cs", "train"))
    }
    assert re.search(r"test +da +ktuberling/da +1 pieces", said)
    notice = (manifest.root / "NOTICE").read_text()
    assert all(words in notice for words in ("Kseniya Buraya", "GNU Free Documentation", "Allison Smith"))


def test_adding_systems_keeps_the_files_that_stay_and_the_speech_is_that_of_full(speech, packages, tmp_path):
    root = tmp_path / "corpus"
    shutil.copytree(speech[0].root, root)
    stray = root / "audio/train/stray.flac"
    stray.write_bytes(b"of a clip that is planned no more")
    before = {path: path.stat().st_mtime_ns for path in root.glob("audio/*/*.flac") if path != stray}
    systems = {"lpc": Lpc(), "splice": Splice({"lpc": Lpc()})}
    both = OpenPrompts(root, packages_dir=packages, workers=1, systems=systems, preset="full").prepare()
    assert len(both) == 2 * len(before)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not stray.exists()
    real = [row for row in rows(both) if row["label"] == 0]
    assert real == rows(speech[0])
    partial = {row["key"]: spans_of(row["spoof_spans"]) for row in rows(both) if row["spoof_spans"] != "-"}
    assert set(partial) == {row["key"] for row in rows(both) if row["attack"] == "openprompts/splice"} != set()
    longest = max(row["frames"] for row in rows(both)) / 16_000
    assert all(0.05 <= span.start_s < span.end_s < longest for spans in partial.values() for span in spans)


@dataclasses.dataclass(frozen=True)
class Losable(Lpc):
    """Needs a file, as neural vocoders need their weights."""

    path: str = ""

    def missing(self):
        return "" if Path(self.path).is_file() else "there is no file"


def test_what_the_machine_loses_leaves_its_clips(speech, packages, tmp_path):
    root, path = tmp_path / "corpus", tmp_path / "weights"
    shutil.copytree(speech[0].root, root)
    path.touch()
    given = {"packages_dir": packages, "workers": 1, "preset": "full"}
    manifest = OpenPrompts(root, systems={"losable": Losable(path=str(path))}, **given).prepare()
    path.unlink()
    assert OpenPrompts(root, systems={"losable": Losable(path=str(path))}, **given).prepare().digest == manifest.digest
