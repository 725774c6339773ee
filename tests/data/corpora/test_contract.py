"""What holds for every released corpus: each is made tiny in its real layout by `tests/data/make_NAME.py`."""

import importlib
import os
import re
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hydra.utils import get_class
from omegaconf import OmegaConf

from deepfake_lab import config
from deepfake_lab.data import guards
from deepfake_lab.data.manifest import NO_ATTACK, SCHEMA
from deepfake_lab.data.release import Release
from deepfake_lab.types import LabError

CONFIGS = {path.stem: OmegaConf.load(path) for path in (config.CONF / "data").glob("*.yaml")}
RELEASES = sorted(name for name, node in CONFIGS.items() if issubclass(get_class(node["_target_"]), Release))


def opened(name, found, work, **changes):
    """The corpus as `data=NAME` configures it, for the download that `found` leads to."""
    settings = {**found, "work": work, **changes}
    return config.build(
        OmegaConf.to_container(OmegaConf.merge(CONFIGS[name], {k: str(v) for k, v in settings.items()}))
    )


def contents(folder):
    """Names, bytes and times of all files."""
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module", params=RELEASES)
def downloaded(request, tmp_path_factory):
    """Name, parent folder (with blanks and brackets) and settings of a tiny download."""
    folder = tmp_path_factory.mktemp("disk") / "my [big] disk (1)"
    folder.mkdir()
    return request.param, folder, importlib.import_module(f"make_{request.param}").make(folder)


@pytest.fixture(scope="module")
def prepared(downloaded, tmp_path_factory):
    name, folder, found = downloaded
    before = contents(folder)
    corpus = opened(name, found, tmp_path_factory.mktemp("work"))
    manifest = corpus.prepare()
    assert contents(folder) == before, "the download was changed"
    return corpus, manifest


def test_is_a_release_called_like_its_configuration(prepared):
    corpus, _ = prepared
    assert isinstance(corpus, Release)
    assert CONFIGS[corpus.name]["_target_"].rpartition(".")[0] == type(corpus).__module__
    assert corpus.sources


def test_manifest_is_whole_and_every_file_is_there(prepared):
    _, manifest = prepared
    assert manifest.table.schema.equals(SCHEMA)
    assert len(manifest) >= 20
    guards.check_files(manifest)
    hashes = manifest.table["audio_hash"].to_pylist()
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in hashes)
    inside = pc.less_equal(
        pc.add(manifest.table["speech_start"], manifest.table["speech_frames"]), manifest.table["frames"]
    )
    assert pc.all(inside).as_py()


def test_names_are_unique_across_corpora(prepared):
    corpus, manifest = prepared
    prefixes = {
        name.partition("/")[0] for column in ("speaker", "group") for name in manifest.table[column].to_pylist()
    }
    assert prefixes - {"-"} <= set(corpus.sources)
    for attack in set(manifest.table["attack"].to_pylist()) - {NO_ATTACK}:
        assert re.fullmatch(rf"{corpus.name}/\S+", attack)
    assert set(manifest.table["corpus"].to_pylist()) == {corpus.name}


def test_no_group_crosses_splits(prepared):
    _, manifest = prepared
    assert guards.shared_between_splits(manifest, "group") == set()


def test_is_read_again_without_looking_at_the_download(prepared, downloaded):
    corpus, manifest = prepared
    written = corpus.manifest_path.stat().st_mtime_ns
    assert corpus.prepare().digest == manifest.digest
    assert corpus.manifest_path.stat().st_mtime_ns == written


def test_a_missing_and_a_damaged_file(downloaded, tmp_path):
    name, folder, _ = downloaded
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    found = {key: copy / value.relative_to(folder) for key, value in downloaded[2].items()}
    corpus = opened(name, found, tmp_path)
    rows = corpus.parse().table
    files = sorted(set(rows["path"].to_pylist()))
    base = corpus.downloaded
    (base / files[0]).unlink()
    damaged = base / files[-1]
    os.truncate(damaged, damaged.stat().st_size // 2)
    with pytest.raises(LabError, match=r"2 files cannot be used \(1 missing, 1 unreadable\)") as caught:
        opened(name, found, tmp_path / "raise").prepare()
    assert files[0] in str(caught.value)
    assert "data.on_error=skip" in str(caught.value)
    listed = dict(
        line.split("\t") for line in (tmp_path / "raise" / "problems.tsv").read_text(encoding="utf-8").splitlines()
    )
    assert set(listed) == {files[0], files[-1]}
    assert listed[files[0]] == "missing"
    skipping = opened(name, found, tmp_path / "skip", on_error="skip").prepare()
    (skipped,) = [finding for finding in skipping.findings if finding.code == "skipped"]
    assert skipped.number >= 2
    lost = rows.filter(pc.is_in(rows["path"], pa.array([files[0], files[-1]])))["key"].to_pylist()
    assert len(lost) == skipped.number
    assert not set(lost) & set(skipping.table["key"].to_pylist())


def test_a_folder_too_high_and_one_too_low(downloaded, tmp_path):
    name, _, found = downloaded
    root = found["root"]
    with pytest.raises(LabError, match=re.escape(f"data.root={root}")):
        opened(name, {**found, "root": root.parent}, tmp_path).prepare()
    below = next((path for path in sorted(root.iterdir()) if path.is_dir()), None)
    if below:
        with pytest.raises(LabError, match=re.escape(f"data.root={root}")):
            opened(name, {**found, "root": below}, tmp_path).prepare()
    with pytest.raises(LabError, match="no such folder"):
        opened(name, {**found, "root": root / "nowhere"}, tmp_path).prepare()
