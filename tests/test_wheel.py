"""The installed wheel runs from any folder, with its configuration inside."""

import os
import subprocess
import sys
import zipfile

from tests.conftest import REPOSITORY


def test_wheel_holds_the_configuration_and_runs(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(archive.read(name).decode() for name in names if name.endswith("METADATA"))
        archive.extractall(tmp_path / "site")
    for path in (REPOSITORY / "conf").rglob("*.yaml"):
        assert f"deepfake_lab/conf/{path.relative_to(REPOSITORY / 'conf')}" in names
    assert {"deepfake_lab/data/corpora/openprompts_sentences.tsv", "deepfake_lab/serving/page/index.html"} <= names
    assert not any(name.startswith(("tests", "experiments", "corpora", "runs")) for name in names)
    assert "License-Expression: Apache-2.0" in metadata

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    variables = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-m", "deepfake_lab.run", "experiment=toy", "--cfg", "job"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=elsewhere, env=variables)
    assert "deepfake_lab.data.corpora.toy.Toy" in done.stdout
    where = [sys.executable, "-c", "import deepfake_lab.config as c; print(c.CONF)"]
    done = subprocess.run(where, check=True, capture_output=True, text=True, cwd=elsewhere, env=variables)
    assert done.stdout.strip() == str(tmp_path / "site" / "deepfake_lab" / "conf")
