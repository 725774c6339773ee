"""Runs the lab's commands for real, in an empty folder, with a tracking database of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: threads of two workers share two cores

import pytest
from filelock import FileLock

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    """A tracking database without runs, made once for all workers: MLflow takes seconds to make its tables."""
    import mlflow

    folder = tmp_path_factory.getbasetemp().parent
    folder = folder if os.environ.get("PYTEST_XDIST_WORKER") else tmp_path_factory.getbasetemp()
    made = folder / "template.db"
    with FileLock(folder / "template.lock"):
        if not made.exists():
            mlflow.MlflowClient(f"sqlite:///{folder}/making.db").search_experiments()
            (folder / "making.db").rename(made)
    return made


class Lab:
    """A folder in which commands run."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def __call__(self, command: str, *overrides: str) -> tuple[int, str]:
        """Runs a command in this process. Returns its exit status and what it printed."""
        import importlib

        module = importlib.import_module(f"deepfake_lab.{command}")
        self._monkeypatch.setattr(sys, "argv", [f"deepfake-lab {command}", *overrides])
        self._monkeypatch.setenv("COLUMNS", "200")
        status = 0
        self._capfd.readouterr()
        try:
            module.main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        printed = self._capfd.readouterr()
        return status, printed.out + printed.err

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Starts `python -m deepfake_lab.ARGUMENTS` as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            # the lab that is tested, also where another checkout is the installed one
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def runs(self) -> list[Path]:
        """Folders of the runs so far, oldest first."""
        notes = sorted(
            self.folder.glob("runs/**/run.json"), key=lambda path: (path.parent / "config.yaml").stat().st_ctime
        )
        return [note.parent for note in notes]

    def mlflow_runs(self):
        """All MLflow runs, as a data frame, oldest first."""
        import mlflow

        mlflow.set_tracking_uri(f"sqlite:///{self.folder}/mlflow.db")
        return mlflow.search_runs(experiment_names=["deepfake_lab"], order_by=["attributes.start_time ASC"])


@pytest.fixture
def lab(tmp_path, monkeypatch, capfd, empty_database):
    """An empty folder to run commands in."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return Lab(tmp_path, monkeypatch, capfd)


class SmallDisk:
    """A file system of its own, in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, size: str) -> None:
        """Gives it another size, such as 300k or 4m."""
        subprocess.run(["mount", "-o", f"remount,size={size}", self.folder], check=True)

    def fill(self, leave: int) -> None:
        """Leaves so many bytes free, in whole pages, beside a file called `filling`."""
        filling = self.folder / "filling"
        filling.unlink(missing_ok=True)
        filling.write_bytes(bytes(shutil.disk_usage(self.folder).free - leave))

    def files(self) -> dict[str, bytes]:
        """Contents of all files by path, hidden ones too; without what fills it."""
        found = (path for path in self.folder.rglob("*") if path.is_file() and path.name != "filling")
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}


@pytest.fixture
def disk(tmp_path):
    """A mounted file system of 1 MiB."""
    (tmp_path / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path / "disk"]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here: that takes root, and the right to")
    yield SmallDisk(tmp_path / "disk")
    subprocess.run(["umount", "--lazy", tmp_path / "disk"], check=True)


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory, empty_database) -> Path:
    """Folder of a finished run on the toy corpus, one epoch long; its corpus is beside it. Only to look at."""
    from deepfake_lab import run

    folder = tmp_path_factory.mktemp("toy_run")
    shutil.copy(empty_database, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["run", "experiment=toy", "trainer.max_epochs=1"])
        run.main()
    (note,) = folder.glob("runs/*/run.json")
    return note.parent
