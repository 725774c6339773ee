"""openprompts, built for real from KB-sized packages with the layout and the traps of the real ones."""

import dataclasses
import hashlib
import io
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import welch

from deepfake_lab.data.corpora.openprompts import OpenPrompts
from deepfake_lab.data.corpora.openprompts_audio import FRAME, finish, g722, pieces, rms_db
from deepfake_lab.data.corpora.openprompts_clips import Prompt, plan
from deepfake_lab.data.corpora.openprompts_packages import find_prompts
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.synthesis.espeak import Espeak
from deepfake_lab.synthesis.griffin_lim import GriffinLim
from deepfake_lab.synthesis.piper import Piper
from deepfake_lab.synthesis.world import World
from deepfake_lab.types import LabError

MAKE = Path(__file__).parents[1] / "make_openprompts.py"
LANGUAGES = ("en", "es", "fr", "it", "ru")
ALL = {"world": World(), "griffin_lim": GriffinLim(), "espeak": Espeak(), "piper": Piper()}
ALL_SPLITS = {
    "train": ["world", "griffin_lim", "espeak"],
    "dev": ["espeak", "griffin_lim", "world"],
    "test": ["espeak", "griffin_lim", "world", "piper"],
}
DRIVER = """
import sys
from deepfake_lab.data.corpora.openprompts import OpenPrompts
from deepfake_lab.synthesis.espeak import Espeak
names = ["espeak"]
corpus = OpenPrompts(sys.argv[1], packages_dir=sys.argv[2], workers=int(sys.argv[3]), systems={"espeak": Espeak()},
                     splits={"train": names, "dev": names, "test": names})
print(corpus.prepare().digest)
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    subprocess.run([sys.executable, MAKE, folder], check=True)
    return folder


@pytest.fixture(scope="module")
def debs(tmp_path_factory):
    """The same as .deb files."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    made, folder = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("debs")
    subprocess.run([sys.executable, MAKE, made, "debs"], check=True)
    for deb in made.glob("*.deb"):
        deb.rename(folder / deb.name)
    return folder


@pytest.fixture(scope="module")
def built(packages, tmp_path_factory):
    """The corpus with all systems, and what was said while it was made."""
    root = tmp_path_factory.mktemp("built") / "corpus"
    with pytest.MonkeyPatch.context() as patch:
        said = io.StringIO()
        patch.setattr(sys, "stderr", said)
        manifest = OpenPrompts(root, packages_dir=packages, workers=1, systems=ALL, splits=ALL_SPLITS).prepare()
    return manifest, said.getvalue()


@pytest.fixture(scope="module")
def reference(packages, tmp_path_factory):
    """The corpus with the quickest system alone, made without interruption."""
    root = tmp_path_factory.mktemp("reference")
    espeak_only(root, packages).prepare()
    return contents(root)


def espeak_only(root, packages, **settings):
    names = ["espeak"]
    splits = {"train": names, "dev": names, "test": names}
    usual = {"workers": 1, "systems": {"espeak": Espeak()}, "splits": splits}
    return OpenPrompts(root, packages_dir=packages, **{**usual, **settings})


def contents(root):
    """Bytes of everything that a user of the corpus reads."""
    files = sorted([*root.glob("audio/*/*"), root / "manifest.parquet", root / "plan.json", root / "NOTICE"])
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def drive(root, packages, workers=1):
    arguments = [sys.executable, "-c", DRIVER, str(root), str(packages), str(workers)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rows(manifest):
    return manifest.table.to_pylist()


# --- what is in it ---


def test_each_split_is_half_fake_and_has_its_systems_and_speakers(built):
    manifest = built[0]
    assert manifest.counts() == {"train": (15, 15), "dev": (5, 5), "test": (5, 5)}
    for split, names in ALL_SPLITS.items():
        attacks = {row["attack"] for row in rows(manifest.split(split))}
        assert attacks == {"bonafide", *(f"openprompts/{name}" for name in names)}
    speakers = {split: {r["speaker"] for r in rows(manifest.split(split)) if r["label"] == 0} for split in ALL_SPLITS}
    assert speakers == {"train": {"allison", "june"}, "dev": {"carlo"}, "test": {"ivrvoice-ru"}}


def test_no_group_and_no_speaker_crosses_splits(built):
    for column in ("group", "speaker"):
        splits = {}
        for row in rows(built[0]):
            splits.setdefault(row[column], set()).add(row["split"])
        assert all(len(found) == 1 for found in splits.values()), column


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
    assert [(row["speaker"], row["language"], row["split"]) for row in piper] == [("piper-en-joe", "en", "test")] * len(
        piper
    )
    assert piper
    espeak = [row for row in rows(built[0]) if row["attack"] == "openprompts/espeak"]
    assert {row["language"] for row in espeak} == {"en", "es", "fr", "it", "ru"}
    assert all(row["speaker"].startswith(f"espeak-{row['language']}") for row in espeak)
    assert all(row["group"].startswith(f"{row['language']}-s") for row in espeak + piper)


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
            assert 5 <= np.argmax(edge > levels.max() - 30) <= 30


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


def test_licences_are_told(built):
    notice = (built[0].root / "NOTICE").read_text()
    for words in ("Allison Smith", "June Wallack", "Carlo Flora", "CC BY-SA 3.0", "CC BY 3.0", "Changes:"):
        assert words in notice


def test_full_takes_every_piece_of_long_prompts():
    piece = pieces(np.random.default_rng(0).standard_normal(16_000 * 15).astype(np.float32) * 0.1)
    assert len(piece) >= 3
    assert all(1.2 <= (p.stop - p.start) / 16_000 <= 6 for p in piece)
    prompts = [Prompt(language, "demo-instruct.g722", piece) for language in LANGUAGES]
    splits = {"train": ["world"], "dev": ["world"], "test": ["world"]}
    small, full = (plan(prompts, {"world": World()}, splits, most=most, seed=0) for most in (210, None))
    assert (len(small), len(full)) == (10, 10 * len(piece))
    assert {clip.group for clip in full if clip.language == "it"} == {"it-demo-instruct"}


def test_small_draws_prompts_and_sentences_by_the_seed():
    piece = pieces(np.random.default_rng(0).standard_normal(32_000).astype(np.float32) * 0.1)
    prompts = [Prompt(language, f"p{number:03d}.g722", piece) for language in LANGUAGES for number in range(40)]
    splits = {"train": ["espeak"], "dev": ["espeak"], "test": ["espeak", "piper"]}
    first, again, other = (plan(prompts, ALL, splits, most=30, seed=seed) for seed in (0, 0, 1))
    assert len(first) == 300
    assert first == again
    assert {clip.key for clip in first} != {clip.key for clip in other}
    english = {
        split: {c.group for c in first if c.language == "en" and c.text and c.split == split}
        for split in ("train", "test")
    }
    assert all(english.values())
    assert not english["train"] & english["test"]


# --- what happens to every clip ---


def test_pieces_begin_and_end_with_speech_and_cut_at_the_pause():
    draw = np.random.default_rng(1)
    wave = 1e-5 * draw.standard_normal(16_000 * 9)
    wave[8000:80000] += 0.1 * draw.standard_normal(72000)
    wave[84800:128000] += 0.1 * draw.standard_normal(43200)
    first, second = pieces(wave.astype(np.float32))
    assert (first.start, first.stop, second.start, second.stop) == (8000, 80000, 84800, 128000)
    assert first.level == pytest.approx(-20, abs=0.1)


@pytest.mark.parametrize("wave", [np.zeros(32_000), np.full(32_000, 1e-3), np.zeros(0), 0.1 * np.ones(8_000)])
def test_there_is_no_piece_in_silence_and_in_short_files(wave):
    assert pieces(wave.astype(np.float32)) == []


@pytest.fixture
def uneven():
    """Noise with DC, digital silence in its middle and strong, one-sided peaks: (T,), float32."""
    draw = np.random.default_rng(2)
    wave = 0.05 * draw.standard_normal(48_000)
    wave[::200] += 0.8
    wave[20_000:28_000] = 0
    return (wave + 0.1).astype(np.float32)


def test_finish_takes_away_what_tells_classes_apart(uneven):
    samples = finish(uneven, -20.0, (5, 10), 7).astype(float) / 32768
    speech = samples[5 * FRAME : -10 * FRAME]
    frequency, power = welch(speech, 16_000, nperseg=1024)
    middle = power[(frequency > 300) & (frequency < 6000)].mean()
    assert power[frequency > 7800].max() < middle * 1e-2
    assert power[frequency < 40].max() < middle * 5e-2
    assert abs(samples.mean()) < 1e-6
    assert rms_db(speech) == pytest.approx(-20, abs=1)
    assert 9 < crest_db(speech) < 14 < crest_db(uneven)
    assert (samples[21_000:27_000] == 0).mean() < 0.05
    assert (
        abs(np.mean(speech**3))
        < 0.3 * np.abs(np.mean((uneven - uneven.mean()) ** 3.0)) / uneven.std() ** 3 * speech.std() ** 3
    )


def crest_db(wave):
    return 20 * np.log10(np.abs(wave).max()) - rms_db(wave)


def test_finish_puts_line_noise_around_the_speech(uneven):
    samples = finish(uneven, -20.0, (5, 10), 7).astype(float) / 32768
    assert len(samples) == len(uneven) + 15 * FRAME
    for margin in (samples[: 4 * FRAME], samples[-9 * FRAME :]):
        assert -62 < rms_db(margin) < -44


def test_finish_follows_its_seed(uneven):
    first, again, other = (finish(uneven, -20.0, (5, 10), seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


def test_g722_keeps_length_and_sound():
    t = np.arange(16_000) / 16_000
    tone = 0.3 * np.sin(2 * np.pi * 440 * t)
    decoded = g722(tone)
    assert (decoded.shape, decoded.dtype) == (tone.shape, np.int16)
    assert np.argmax(np.abs(np.fft.rfft(decoded))) == 440


# --- the same bytes, whatever happens ---


def test_same_bytes_with_another_number_of_workers_and_from_debs(built, debs, tmp_path):
    OpenPrompts(tmp_path, packages_dir=debs, workers=2, systems=ALL, splits=ALL_SPLITS).prepare()
    assert contents(tmp_path) == contents(built[0].root)
    assert sorted(path.suffix for path in debs.iterdir()) == [".deb"] * 5  # what was downloaded stays as it was


def test_a_killed_preparation_goes_on_and_ends_with_the_same_bytes(packages, reference, tmp_path):
    root = tmp_path / "corpus"
    process = drive(root, packages, workers=2)
    workers = wait_for(lambda: children(process.pid) if len(list(root.glob("audio/*/*.flac"))) >= 8 else None)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))  # none lives on
    made = {path: path.stat().st_mtime_ns for path in root.glob("audio/*/*.flac")}
    assert len(made) < 50
    assert not (root / "manifest.parquet").exists()
    (root / "audio/train/.half.flac.1").write_bytes(b"half")
    espeak_only(root, packages).prepare()
    assert contents(root) == reference
    assert {path: path.stat().st_mtime_ns for path in made} == made


def children(pid):
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
    return found


def test_two_processes_at_once_make_one_corpus(packages, reference, tmp_path):
    processes = [drive(tmp_path, packages), drive(tmp_path, packages)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs[0][0] == outputs[1][0] != ""
    assert contents(tmp_path) == reference
    assert sum("making clips: 50 of 50" in said for _, said in outputs) == 1


def test_prepared_corpus_is_read_and_force_rebuilds_it(packages, reference, tmp_path):
    espeak_only(tmp_path, packages).prepare()
    clip = next(tmp_path.glob("audio/*/*.flac"))
    before = clip.stat().st_mtime_ns
    assert isinstance(espeak_only(tmp_path, "/nowhere").prepare(), Manifest)  # needs no packages any more
    assert clip.stat().st_mtime_ns == before
    clip.write_bytes(b"damaged")
    espeak_only(tmp_path, packages).prepare(force=True)
    assert contents(tmp_path) == reference


def test_other_settings_are_noticed_and_nothing_is_mixed(packages, reference, tmp_path):
    espeak_only(tmp_path, packages, systems={"espeak": Espeak(rate=120)}).prepare()
    slower = contents(tmp_path)
    assert slower.keys() == reference.keys()
    assert any(slower[path] != reference[path] for path in reference if "-espeak-" in path)
    espeak_only(tmp_path, packages).prepare()
    assert contents(tmp_path) == reference


# --- what goes wrong ---


def test_full_disk_says_what_is_needed_and_keeps_finished_clips(packages, reference, tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12k", "none", tmp_path], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with pytest.raises(LabError, match=r"test_full_disk.*No space left.* \(0.0 MB free\)\. .*data\.root=DIR"):
            espeak_only(tmp_path, packages).prepare()
        subprocess.run(["mount", "-o", "remount,size=700k", tmp_path], check=True)
        with pytest.raises(LabError, match=r"audio/.*\.flac: .*No space left.* MB free, about .* MB more needed.*kept"):
            espeak_only(tmp_path, packages).prepare()
        made = contents_of_audio(tmp_path)
        assert len(made) > 5
        assert made.items() <= reference.items()
        subprocess.run(["mount", "-o", "remount,size=20m", tmp_path], check=True)
        espeak_only(tmp_path, packages).prepare()
        assert contents(tmp_path) == reference
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def contents_of_audio(root):
    files = root.glob("audio/*/*")
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_failing_system_names_the_clip_and_keeps_the_others(packages, tmp_path):
    broken = {"systems": {"espeak": Espeak(rate="fast")}}
    with pytest.raises(RuntimeError, match=r"clip \w\w-s\d+-espeak-[\w-]+ failed: (?s:.*)kept"):
        espeak_only(tmp_path, packages, **broken).prepare()
    assert len(list(tmp_path.glob("audio/*/*.flac"))) >= 5
    assert not (tmp_path / "manifest.parquet").exists()


def test_a_missing_library_says_how_to_install_it(packages, tmp_path, monkeypatch):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/espeakng_loader.py").write_text("raise ImportError('No module named espeakng_loader')")
    monkeypatch.syspath_prepend(tmp_path / "hidden")
    with pytest.raises(LabError, match=r"espeakng_loader.*pip install 'deepfake-lab\[synthesis\]'"):
        espeak_only(tmp_path / "corpus", packages).prepare()


def test_without_apt_the_alternatives_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match=r"apt-get.*packages_dir=DIR.*data=folder.*data=ljspeech"):
        espeak_only(tmp_path / "corpus", None).prepare()


def fake_apt(folder, monkeypatch, script):
    apt = folder / "apt-get"
    apt.write_text(f"#!/bin/sh\n{script}\n")
    apt.chmod(apt.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_failing_download_says_what_apt_said(tmp_path, monkeypatch):
    fake_apt(tmp_path, monkeypatch, "echo 'E: Unable to locate package' >&2; exit 100")
    with pytest.raises(LabError, match=r"failed: E: Unable to locate package.*\n.*apt-get update.*data=folder"):
        espeak_only(tmp_path / "corpus", None).prepare()


def test_download_fetches_all_packages_once(debs, tmp_path, monkeypatch):
    fake_apt(tmp_path, monkeypatch, f'case "$*" in *download*) cp {debs}/*.deb . ;; esac')
    found = find_prompts(tmp_path / "cache", None)
    assert sorted(found) == sorted(LANGUAGES)
    assert all((folder / "vm-deleted.g722").is_file() for folder in found.values())
    fake_apt(tmp_path, monkeypatch, "exit 1")
    assert find_prompts(tmp_path / "cache", None) == found


def test_missing_packages_are_named(packages, tmp_path):
    shutil.copytree(packages, tmp_path / "four", ignore=shutil.ignore_patterns("*-ru-*"))
    with pytest.raises(LabError, match=r"packages_dir=.*four: lacks asterisk-core-sounds-ru-g722\. .*apt-get download"):
        espeak_only(tmp_path / "corpus", tmp_path / "four").prepare()
    with pytest.raises(LabError, match="no such folder"):
        espeak_only(tmp_path / "corpus", tmp_path / "nowhere").prepare()


def test_a_package_writes_nothing_outside_its_folder(tmp_path):
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    folder = tmp_path / "debs"
    folder.mkdir()
    inside = "./usr/share/asterisk/sounds/en_US_f_Allison/vm-deleted.g722"
    link = tarfile.TarInfo("./usr/link")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
    names = (inside, "../../../above", str(tmp_path / "absolute"), "./usr/link/linked")
    write_deb(folder / "asterisk-core-sounds-en-g722_1_all.deb", [link, *map(tarfile.TarInfo, names)])
    with pytest.raises(LabError, match="lacks asterisk-core-sounds-es"):
        find_prompts(tmp_path / "a/b/cache", folder)
    assert not list(tmp_path.rglob("above"))
    assert not (tmp_path / "absolute").exists()
    assert not (tmp_path / "linked").exists()
    assert [path.name for path in tmp_path.rglob("*.g722")] == ["vm-deleted.g722"]


def write_deb(path, members):
    """A Debian package by hand: an `ar` archive of three parts."""
    data, empty = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for member in members:
            tar.addfile(member)
    tarfile.open(fileobj=empty, mode="w:gz").close()
    parts = {"debian-binary": b"2.0\n", "control.tar.gz": empty.getvalue(), "data.tar.gz": data.getvalue()}
    archive = b"!<arch>\n"
    for name, content in parts.items():
        archive += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
            + content
            + b"\n" * (len(content) % 2)
        )
    path.write_bytes(archive)


def test_a_broken_package_is_named(tmp_path):
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    deb = tmp_path / "asterisk-core-sounds-en-g722_1_all.deb"
    deb.write_bytes(b"not a package")
    with pytest.raises(LabError, match=r"en-g722_1_all\.deb: not a readable Debian package"):
        find_prompts(tmp_path / "cache", tmp_path)


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
