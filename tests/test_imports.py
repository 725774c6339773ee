"""Imports go one way, and commands answer before heavy libraries are loaded."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import deepfake_lab
from deepfake_lab.__main__ import COMMANDS

PACKAGE = Path(deepfake_lab.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")

FOUNDATION = ("types", "audio")
SIBLINGS = ("data", "synthesis", "augment", "frontends", "models", "losses", "metrics", "adversaries")
CENTRE = ("tasks", "evaluation", "serving", "benchmarking", "tuning", "tracking")
TOP = ("config", "checkpoint")
ALLOWED = {
    "types": (),
    "audio": ("types",),
    **{name: FOUNDATION for name in SIBLINGS},
    "models": (*FOUNDATION, "frontends"),  # a detector begins with its front-end
    **{name: (*FOUNDATION, *SIBLINGS, *CENTRE) for name in CENTRE},
    "tracking": (*FOUNDATION, *SIBLINGS, *CENTRE, "checkpoint"),  # an MLflow model loads its checkpoint
    **{name: (*FOUNDATION, *SIBLINGS, *CENTRE, *TOP) for name in TOP},
    **{name: (*FOUNDATION, *SIBLINGS, *CENTRE, *TOP) for name in COMMANDS},
    "sweep": (*FOUNDATION, *SIBLINGS, *CENTRE, *TOP, "run"),  # whose trials are runs
}
"""What each part of the package may import of the others."""


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Full names of all that a module imports, anywhere in it, and the lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def part(path: Path) -> str:
    """Package or module at the top of the lab that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_go_one_way(path):
    here = part(path)
    for imported, line in imports(path):
        if imported.startswith("deepfake_lab."):
            there = imported.split(".")[1]
            assert there == here or there in ALLOWED.get(here, ()), f"{path}:{line}: {here} must not import {there}"


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("hydra", {"config", "checkpoint", *COMMANDS}),
        ("omegaconf", {"config", "checkpoint", *COMMANDS}),
        ("mlflow", {"tracking"}),
    ],
)
def test_libraries_stay_at_home(library, homes):
    users = {part(path) for path in MODULES for imported, _ in imports(path) if imported.split(".")[0] == library}
    assert users
    assert users <= homes


def test_packages_are_named_by_a_line_and_import_nothing():
    with_a_front = {PACKAGE / name / "__init__.py" for name in ("config", "tracking")}
    for path in set(PACKAGE.rglob("*/__init__.py")) - with_a_front:
        (line,) = ast.parse(path.read_text()).body
        assert isinstance(line, ast.Expr), path


def test_every_file_at_the_top_is_a_command_or_a_part():
    assert {part(path) for path in MODULES} - {"__main__"} <= set(ALLOWED)
    for command in COMMANDS:
        assert "def main()" in (PACKAGE / f"{command}.py").read_text()


def test_commands_are_light_to_import():
    program = (
        "import importlib, sys\n"
        f"for name in {list(COMMANDS)}: importlib.import_module(f'deepfake_lab.{{name}}')\n"
        "heavy = 'torch mlflow pandas pyarrow scipy matplotlib pytorch_lightning soundfile av'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
