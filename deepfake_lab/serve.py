"""`python -m deepfake_lab.serve`: answer over HTTP and WebSockets how probably recordings and streams are fake."""

from __future__ import annotations

import importlib.util
import ipaddress
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from deepfake_lab.config import launch, resolved
from deepfake_lab.serving.limits import Keys, Limits
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from deepfake_lab.models.detector import Detector
    from deepfake_lab.serving.batching import Batcher
    from deepfake_lab.serving.judge import Judge
    from deepfake_lab.serving.live import Live, Source
    from deepfake_lab.serving.server import Server
    from deepfake_lab.serving.telemetry import Metrics

_LOUD = {"refused": logging.ERROR, "unreachable": logging.WARNING, "swapped": logging.INFO}


def serve(composed: DictConfig) -> None:
    """Answers until it is told to stop by SIGTERM or SIGINT.

    Raises:
        LabError: the detector, the address, the keys or another setting cannot be used.
    """
    config = resolved(composed)
    _check(config)
    _require_libraries()
    _log_to_stdout()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the server takes the first itself
    from deepfake_lab.serving.server import bound
    from deepfake_lab.serving.telemetry import log

    server = make_server(config)
    try:
        listening = bound(config["host"], config["port"])
    except OSError as error:
        where = f"host={config['host']} port={config['port']}"
        raise LabError(
            f"{where}: cannot be listened on ({error.strerror}). Name another port, or 0 for any."
        ) from error
    host, port = listening.getsockname()[:2]
    log("serving", address=f"http://{f'[{host}]' if ':' in host else host}:{port}")
    server.run(sockets=[listening])


def make_server(config: dict[str, Any]) -> Server:
    """Everything that a configuration describes, ready to run.

    Raises:
        LabError: see `serve`.
    """
    from deepfake_lab.serving.app import Service, create_app
    from deepfake_lab.serving.batching import Batcher
    from deepfake_lab.serving.census import KeptCensus
    from deepfake_lab.serving.gate import Gate
    from deepfake_lab.serving.server import Server
    from deepfake_lab.serving.telemetry import Metrics, log

    limits = Limits(**config["limits"])
    gate = Gate(limits, Keys(config["keys"]) if config["keys"] else None, config["origins"])
    census = KeptCensus(Path(config["census"]) if config["census"] else None)
    metrics = Metrics()
    batcher = Batcher(config["batch_size"], config["wait_ms"] / 1000, metrics.batch)
    live = _live(config, batcher, metrics)
    metrics.watch_census(census, live.trained_on)
    model = live.model
    log("loaded", name=model.name, version=model.version, digest=model.digest)
    service = Service(live, batcher, metrics, census, limits, gate, release=config["release"], poll_s=config["poll_s"])
    return Server(create_app(service), gate, limits, metrics.refused, config["proxies"])


def _live(config: dict[str, Any], batcher: Batcher, metrics: Metrics) -> Live:
    from deepfake_lab.checkpoint import device_called, load_detector
    from deepfake_lab.serving.judge import Judge
    from deepfake_lab.serving.live import Live
    from deepfake_lab.serving.streaming import StreamingDetector
    from deepfake_lab.serving.telemetry import log

    device = device_called(config["device"])
    settings = {"prior": config["prior"]["spoof"], **{key: config[key] for key in ("threshold", "batch_size")}}

    def recordings(detector: Detector) -> Judge:
        return Judge(detector, scorer=batcher.scorer(detector), **settings)

    def streams(detector: Detector) -> Judge:
        hop_s = None if config["hop_s"] is None else min(config["hop_s"], detector.window_s)
        judge = Judge(detector, scorer=batcher.scorer(detector), hop_s=hop_s, **settings)
        StreamingDetector(judge, release=config["release"])  # refuses what it would refuse later
        return judge

    def tell(result: str, version: str, why: str) -> None:
        metrics.reload(result)
        log(f"detector {result}", level=_LOUD[result], version=version, why=why)

    return Live(_source(config), lambda path: load_detector(path).to(device), (recordings, streams), tell)


def _source(config: dict[str, Any]) -> Source:
    from deepfake_lab.serving.live import ChampionSource, FileSource

    if config["checkpoint"] is not None:
        return FileSource(Path(config["checkpoint"]))
    from deepfake_lab.tracking import Tracking  # MLflow takes seconds and 300 MB: who names a file does without
    from deepfake_lab.tracking.registry import Registry

    return ChampionSource(
        Registry(Tracking(config["tracking"]["uri"], system_metrics=False)), config["registered_model"]
    )


def _check(config: dict[str, Any]) -> None:
    """Refuses at once what would be refused, or regretted, later."""
    if (config["checkpoint"] is None) == (config["registered_model"] is None):
        raise LabError("Give one of checkpoint=FILE and registered_model=NAME: what is to answer.")
    Limits(**config["limits"]).check()
    for key, least in (("port", 0), ("batch_size", 1), ("wait_ms", 0), ("poll_s", 0.05)):
        if config[key] < least:
            raise LabError(f"{key}={config[key]}: give {least} or more.")
    if config["port"] > 65535:
        raise LabError(f"port={config['port']}: give at most 65535.")
    if config["keys"] is None and not config["insecure"] and not _is_here(config["host"]):
        raise LabError(
            f"host={config['host']}: others could use the service, and anybody may. Name a file of keys (keys=FILE), "
            "or let everybody in by insecure=true."
        )


def _require_libraries() -> None:
    for name in ("fastapi", "prometheus_client", "python_multipart", "uvicorn", "websockets"):
        if importlib.util.find_spec(name) is None:
            raise LabError(f"{name} is not installed. A service wants it: pip install 'deepfake-lab[serving]'")


def _is_here(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _log_to_stdout() -> None:
    """Every line is JSON, also those of libraries, which tell of troubles alone."""
    from deepfake_lab.serving.telemetry import LOGGER, JsonLines

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # of a bad form, its answer says enough
    LOGGER.setLevel(logging.INFO)


def main() -> None:
    """Entry point."""
    launch("serve", serve)


if __name__ == "__main__":
    main()
