"""What the README and its further pages say works: commands, links, make targets."""

import re
import shlex

import pytest

from tests.conftest import REPOSITORY

PAGES = {page: page.read_text() for page in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))}
README = "\n".join(PAGES.values()).replace("\\\n", " ")  # a command may take several lines
COMMANDS = list(dict.fromkeys(re.findall(r"^python -m deepfake_lab\.(\w+) ?(.*)$", README, flags=re.MULTILINE)))


def test_readme_has_commands():
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize(("command", "arguments"), COMMANDS, ids=[" ".join(pair) for pair in COMMANDS])
def test_every_command_composes(lab, command, arguments):
    words = [word for word in shlex.split(arguments, comments=True) if word not in ("--cfg", "job", "--multirun")]
    if "--multirun" in arguments:
        words = [re.sub(r"range\((\d+).*|,.*", r"\1", word) for word in words]  # --cfg shows one job
    status, printed = lab(command, *words, "--cfg", "job")
    assert status == 0, printed
    assert ":" in printed


def test_a_run_and_predict_as_the_readme_says(lab):
    assert ("run", "experiment=toy") in COMMANDS
    status, printed = lab("run", "experiment=toy")
    assert status == 0, printed
    (run,) = lab.runs
    status, printed = lab("predict", f"checkpoint=runs/{run.name}/detector.ckpt", "input=corpora", "output=scores.csv")
    assert status == 0, printed
    header = (lab.folder / "scores.csv").read_text().splitlines()[0]
    assert header == "path,score,p_fake,verdict,reason,duration_s,windows"


def test_links_and_make_targets_exist():
    for page, text in PAGES.items():
        for link in re.findall(r"(?:\]\(|src=\")(?!https://)([^)#\"]+)", text):
            assert (page.parent / link).exists(), (page, link)
    targets = set(re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make (\w+)", README, flags=re.MULTILINE)) - {"setup"} <= targets
    assert {"setup", "demo", "test", "ui", "lint", "clean"} <= targets
