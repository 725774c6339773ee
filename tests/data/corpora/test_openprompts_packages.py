"""How the packages of openprompts are found, fetched and unpacked."""

import io
import os
import shutil
import stat
import tarfile

import make_openprompts
import pytest
from make_openprompts import LANGUAGES, espeak_only

from deepfake_lab.data.corpora import openprompts_packages
from deepfake_lab.data.corpora.openprompts_packages import find_prompts
from deepfake_lab.data.corpora.openprompts_voices import TELEPHONE_VOICES
from deepfake_lab.types import LabError


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    return make_openprompts.make(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def debs(packages, tmp_path_factory):
    """The same as .deb files."""
    return make_openprompts.make_debs(tmp_path_factory.mktemp("debs"), packages)


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
    found = find_prompts(tmp_path / "cache", None, TELEPHONE_VOICES)
    assert sorted(found) == [f"asterisk-core-sounds-{language}-g722" for language in sorted(LANGUAGES)]
    assert all((folder / "vm-deleted.g722").is_file() for folder in found.values())
    fake_apt(tmp_path, monkeypatch, "exit 1")
    assert find_prompts(tmp_path / "cache", None, TELEPHONE_VOICES) == found


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
        find_prompts(tmp_path / "a/b/cache", folder, TELEPHONE_VOICES)
    assert not list(tmp_path.rglob("above"))
    assert not (tmp_path / "absolute").exists()
    assert not (tmp_path / "linked").exists()
    assert [path.name for path in tmp_path.rglob("*.g722")] == ["vm-deleted.g722"]


@pytest.mark.parametrize("place", ["a prompt", "a file that nobody wants", "a name"])
def test_a_package_that_unpacks_to_too_much_is_given_up(tmp_path, monkeypatch, place):
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    monkeypatch.setattr(openprompts_packages, "MOST_BYTES", 1 << 22)
    inside = "./usr/share/asterisk/sounds/en_US_f_Allison/vm-deleted.g722"
    member = tarfile.TarInfo("./usr/other" if place == "a file that nobody wants" else inside)
    if place == "a name":
        member.pax_headers = {"comment": "0" * (1 << 23)}
    else:
        member.size = 1 << 23
    deb = tmp_path / "asterisk-core-sounds-en-g722_1_all.deb"
    write_deb(deb, [member], io.BytesIO(bytes(member.size)))
    assert deb.stat().st_size < 50_000
    with pytest.raises(LabError, match=r"en-g722_1_all\.deb: not a readable.*unpacks to more than"):
        find_prompts(tmp_path / "cache", tmp_path, TELEPHONE_VOICES)
    assert not list(tmp_path.rglob("*.g722"))
    assert not (tmp_path / "cache" / deb.stem).exists()


def test_nothing_but_plain_files_comes_out_of_a_package(tmp_path):
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    members = []
    sounds = "./usr/share/asterisk/sounds/en_US_f_Allison"
    for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)):
        member = tarfile.TarInfo(f"{sounds}/{number}.g722")
        member.type, member.linkname = kind, "/etc/passwd"
        members.append(member)
    members += [tarfile.TarInfo(f"{sounds}/{name}.g722") for name in ("a", "a.g722/b")]  # the second has no place
    write_deb(tmp_path / "asterisk-core-sounds-en-g722_1_all.deb", members)
    with pytest.raises(LabError, match=r"en-g722_1_all\.deb: not a readable"):
        find_prompts(tmp_path / "cache", tmp_path, TELEPHONE_VOICES)
    assert [path.name for path in tmp_path.rglob("*.g722")] == ["a.g722"]


def write_deb(path, members, content=None):
    """A Debian package by hand: an `ar` archive of three parts."""
    data, empty = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for member in members:
            tar.addfile(member, content)
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
        find_prompts(tmp_path / "cache", tmp_path, TELEPHONE_VOICES)
