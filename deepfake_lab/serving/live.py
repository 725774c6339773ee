"""The detector that a service answers with, and how a new one takes its place while it runs."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from deepfake_lab.models.detector import Detector
from deepfake_lab.serving.census import Census
from deepfake_lab.serving.judge import Judge
from deepfake_lab.serving.self_test import self_test
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from deepfake_lab.tracking.registry import Registry

_SHOWN = 12  # digits of a digest


class Source(Protocol):
    """Where detectors come from, one after the other.

    Attributes:
        name: what the detectors are called.
    """

    name: str

    def look(self) -> str:
        """Which version is there now; raises an error if that cannot be told."""

    def fetch(self, version: str, folder: Path) -> Path:
        """File of its checkpoint, copied to a folder if need be; raises an error if it cannot be had."""


class FileSource:
    """A checkpoint that is replaced now and then.

    Args:
        path: of the file. Its versions are digests of what it holds.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self._path = path
        self._known: tuple[tuple[int, ...], str] = ((), "")

    def look(self) -> str:
        """See `Source`."""
        try:
            found = self._path.stat()
            state = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if state != self._known[0]:  # hundreds of MB are not read for nothing
                self._known = (state, digest_of(self._path)[:_SHOWN])
        except OSError as error:
            raise LabError(f"checkpoint={self._path}: cannot be read ({error.strerror}). Name a checkpoint.") from error
        return self._known[1]

    def fetch(self, version: str, folder: Path) -> Path:
        """See `Source`."""
        return self._path


class ChampionSource:
    """The champion of a registered model.

    Args:
        registry: that knows the model.
        name: of the model. Its versions are numbers.
    """

    def __init__(self, registry: Registry, name: str) -> None:
        self.name = name
        self._registry = registry

    def look(self) -> str:
        """See `Source`."""
        champion = self._registry.champion(self.name)
        if champion is None:
            raise LabError(
                f"registered_model={self.name}: has no champion. Promote one: report what=promote run=runs/NAME."
            )
        return str(champion.number)

    def fetch(self, version: str, folder: Path) -> Path:
        """See `Source`."""
        return self._registry.checkpoint(self.name, int(version), folder)


@dataclass(frozen=True)
class Model:
    """A detector at work.

    Attributes:
        name: see `Source`.
        version: see `Source`.
        digest: SHA-256 of the checkpoint.
        loaded: when it was loaded.
        recordings: judges recordings with it.
        streams: judges windows of streams with it.
    """

    name: str
    version: str
    digest: str
    loaded: datetime
    recordings: Judge
    streams: Judge


class Live:
    """The detector at hand. Who asks takes `model` once, and keeps it until the answer.

    Args:
        source: where detectors come from.
        load: makes a detector, on its device, of a checkpoint.
        judges: make what judges recordings and what judges streams of a detector.
        tell: is told what became of a new version (swapped, refused, unreachable), which, and why.

    Raises:
        LabError: the first detector cannot be used.

    Attributes:
        model: see above.
    """

    def __init__(
        self,
        source: Source,
        load: Callable[[Path], Detector],
        judges: tuple[Callable[[Detector], Judge], Callable[[Detector], Judge]],
        tell: Callable[[str, str, str], None],
    ) -> None:
        self._source = source
        self._load = load
        self._judges = judges
        self._tell = tell
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble = ""
        self._seen = source.look()
        with tempfile.TemporaryDirectory() as folder:
            self.model = self._loaded(self._seen, source.fetch(self._seen, Path(folder)))

    def trained_on(self) -> Census | None:
        """How the training data of the detector at hand was; None where it knows nothing of it."""
        judge = self.model.recordings
        return judge.census if judge.detector.trained_on else None

    def watch(self, every_s: float) -> None:
        """Looks for a new version again and again, in a thread, until `stop`."""

        def work() -> None:
            while not self._stopped.wait(every_s):
                self.look()

        self._thread = threading.Thread(target=work, name="reload", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Looks no more. What is being loaded is left to itself."""
        self._stopped.set()

    def look(self) -> None:
        """Takes a new version if there is one and it passes the test; a version that does not is not tried again."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                version = self._source.look()
                if version == self._seen:
                    return
                file = None if version == self.model.version else self._source.fetch(version, Path(folder))
            except Exception as error:  # a store's drivers raise errors of many families; the next look may succeed
                self._unreachable(str(error))
                return
            self._trouble = ""
            self._seen = version
            if file is not None:
                self._try(version, file)

    def _try(self, version: str, file: Path) -> None:
        try:
            model = self._loaded(version, file)
            if self._source.look() != version:  # it was replaced meanwhile: who knows what was read
                self._seen = ""
                return
        except Exception as error:  # whatever is wrong with it, the service goes on with what it has
            self._tell("refused", version, str(error))
            return
        self.model = model
        self._tell("swapped", version, "")

    def _loaded(self, version: str, file: Path) -> Model:
        detector = self._load(file)
        digest, now = digest_of(file), datetime.now(UTC)
        recordings, streams = (make(detector) for make in self._judges)
        try:
            self_test(recordings)
        except LabError as error:
            raise LabError(f"{self._source.name}, version {version}: fails its test: {error}.") from error
        return Model(self._source.name, version, digest, now, recordings, streams)

    def _unreachable(self, why: str) -> None:
        if why != self._trouble:  # once is enough for a log
            self._tell("unreachable", "", why)
        self._trouble = why


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
