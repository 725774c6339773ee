"""The service: addresses, answers, and what runs beside them."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

import deepfake_lab
from deepfake_lab.audio import AudioError
from deepfake_lab.serving import documented
from deepfake_lab.serving.batching import Batcher
from deepfake_lab.serving.census import Census, KeptCensus
from deepfake_lab.serving.detecting import GoneError, Working, explained, judged
from deepfake_lab.serving.explain import Explainer
from deepfake_lab.serving.gate import SUBPROTOCOL, Gate, Observed, answer
from deepfake_lab.serving.limits import Limits, Places, Refused
from deepfake_lab.serving.listening import Listening, raw_format
from deepfake_lab.serving.live import Live
from deepfake_lab.serving.quality import Quality
from deepfake_lab.serving.schemas import CensusSaid, Detection, ExplanationSaid, Health, ModelSaid
from deepfake_lab.serving.streaming import StreamingDetector
from deepfake_lab.serving.telemetry import Metrics, bucket, log
from deepfake_lab.serving.uploads import received
from deepfake_lab.types import SAMPLE_RATE, LabError

DETECT, EXPLAIN, STREAM = "/v1/detect", "/v1/explain", "/v1/stream"
_PAGE: Final = Path(__file__).with_name("page")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}
_GONE = 499  # in the log, of a client that did not wait for its answer
_KEEP_S = 60.0
_WORDS = {404: "not_found", 405: "method_not_allowed"}
_CLOSE = {"no_audio": 1007, "bad_message": 1003}


class Service:
    """What all addresses share.

    Args:
        live: the detector at hand.
        batcher: that scores windows for it.
        metrics: of the service.
        census: of what it judges.
        limits: what it allows.
        gate: who it lets in.
        release: see `StreamingDetector`.
        poll_s: how often it looks for a new detector and for new keys, in s.
    """

    def __init__(
        self,
        live: Live,
        batcher: Batcher,
        metrics: Metrics,
        census: KeptCensus,
        limits: Limits,
        gate: Gate,
        *,
        release: float,
        poll_s: float,
    ) -> None:
        self.gate = gate
        self.metrics = metrics
        self._live = live
        self._batcher = batcher
        self._census = census
        self._limits = limits
        self._release = release
        self._poll_s = poll_s
        self._memory = Places(limits.memory_mb * 1e6, "Too much is being uploaded. Try again later.")
        self._streams = Places(limits.streams, "Too many streams. Try again later.")
        self._detecting = Working(limits, limits.workers, limits.queue)
        self._explaining = Working(limits, 1, limits.queue)  # takes all processors, some hundred times as long
        self._listening = Listening(limits, gate.stopping, metrics.decided)
        metrics.watch(
            "recordings_waiting", "Recordings being judged or waiting for it.", lambda: self._detecting.waiting
        )
        metrics.watch("windows_waiting", "Windows that no batch has taken yet.", lambda: batcher.waiting)
        metrics.watch("streams_open", "Streams that are heard.", lambda: self._streams.taken)
        metrics.watch("upload_bytes", "Bytes of uploads in memory.", lambda: self._memory.taken)
        metrics.watch_model(
            lambda: {"name": live.model.name, "version": live.model.version, "digest": live.model.digest}
        )

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Looks for new detectors and keys, and keeps the census, as long as the service runs."""
        self._live.watch(self._poll_s)
        beside = [
            asyncio.create_task(_again_and_again(_KEEP_S, self._write_census)),
            asyncio.create_task(_again_and_again(self._poll_s, self.gate.look)),
        ]
        try:
            yield
        finally:
            for task in beside:
                task.cancel()
            self._live.stop()
            await asyncio.to_thread(self._close)

    async def detect(self, request: Request) -> Response:
        """Judges one recording, of any format."""
        self.gate.admit(request)
        self._detecting.require_room()
        model = self._live.model
        async with received(request, self._limits, self._memory) as upload:
            given = await self._detecting.do(request, upload, partial(judged, model.recordings))
        judgement = given.judgement
        request.state.told |= self._judged(DETECT, judgement.quality, judgement.score, judgement.verdict)
        return Response(given.content, media_type="application/json")

    async def explain(self, request: Request) -> Response:
        """Tells which moments and bands moved the score of a recording, in some seconds of it from `start_s` on."""
        self.gate.admit(request)
        start_s = seconds(request.query_params.get("start_s", "0"))
        self._explaining.require_room()
        explain = Explainer(self._live.model.recordings, most_s=self._limits.explained_s)
        async with received(request, self._limits, self._memory) as upload:
            content = await self._explaining.do(request, upload, partial(explained, explain, start_s))
        return Response(content, media_type="application/json")

    async def stream(self, websocket: WebSocket) -> None:
        """Judges a stream while it is heard; see the description above."""
        try:
            self.gate.admit(websocket)
            raw = raw_format(websocket.query_params)
            self._streams.take()
        except Refused as refused:
            await websocket.send_denial_response(answer(refused))
            return
        try:
            await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in websocket.scope["subprotocols"] else None)
            streaming = StreamingDetector(self._live.model.streams, release=self._release)
            said = await self._listening.hear(websocket, streaming, raw)
            if said["score"] is not None:
                told = self._judged(STREAM, streaming.quality, said["score"], said["verdict"])
                websocket.state.told |= told | {"ended": said["ended"]}
        except (Refused, AudioError) as error:
            code = error.code if isinstance(error, Refused) else "no_audio"
            websocket.state.told["ended"] = code
            with suppress(WebSocketDisconnect, RuntimeError):
                await websocket.send_json({"type": "error", "code": code, "message": str(error)})
                await websocket.close(_CLOSE[code], code)
        except WebSocketDisconnect:
            websocket.state.told["ended"] = "gone"
        finally:
            self._streams.give()

    async def model(self, request: Request) -> ModelSaid:
        """Which detector answers."""
        self.gate.admit(request)
        model = self._live.model
        return ModelSaid(
            name=model.name,
            version=model.version,
            digest=model.digest,
            window_s=model.recordings.detector.window_s,
            stream_hop_s=model.streams.hop / SAMPLE_RATE,
            threshold=model.recordings.threshold,
            release=self._release,
            prior=model.recordings.prior,
            loaded=model.loaded,
        )

    async def census(self, request: Request) -> CensusSaid:
        """How what was judged has been, and how far that is from what the detector was trained on."""
        self.gate.admit(request)
        now, before = self._census.now(), self._live.trained_on()
        edges = {
            name: [float(edge) if np.isfinite(edge) else None for edge in row] for name, row in Census.EDGES.items()
        }
        return CensusSaid(counts=now.plain(), edges=edges, shift=before.shift(now) if before else None)

    async def numbers(self, request: Request) -> Response:
        """Numbers for Prometheus."""
        self.gate.admit(request)
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def healthy(self) -> Health:
        """That the service runs."""
        return Health(status="ok")

    async def ready(self) -> Health:
        """That it takes requests: there is a detector, and it is not about to stop."""
        if self.gate.stopping.is_set():
            raise Refused(503, "stopping", "The service is stopping.", retry_after_s=5)
        return Health(status="ready")

    def _judged(self, path: str, quality: Quality, score: float, verdict: str) -> dict[str, Any]:
        """Counts what was said; what of it a log may tell."""
        self.metrics.judged(path, verdict, quality.duration_s)
        self._census.add(quality.measures() | {"score": score})
        return {"audio_s": round(quality.duration_s, 1), "score": bucket(score), "verdict": verdict}

    def _write_census(self) -> None:
        try:
            self._census.write()
        except (OSError, LabError) as error:  # a full disk is no reason to judge nobody
            log("census not written", level=logging.ERROR, why=str(error))

    def _close(self) -> None:
        self._detecting.close()
        self._explaining.close()
        self._listening.close()
        self._batcher.close()
        self._write_census()


def create_app(service: Service) -> FastAPI:
    """The service as an ASGI application."""
    app = FastAPI(
        title="deepfake_lab",
        version=deepfake_lab.__version__,
        lifespan=service.lifespan,
        docs_url=None,  # its pages load scripts of other sites
        redoc_url=None,
        redirect_slashes=False,
    )
    problems = documented.problems
    asked = problems(401, 403, 429, 500, 503)
    app.add_api_route(
        DETECT,
        service.detect,
        methods=["POST"],
        response_model=Detection,
        responses=asked | problems(400, 408, 413, 415, 422, 504),
        openapi_extra=documented.UPLOAD,
    )
    app.add_api_route(
        EXPLAIN,
        service.explain,
        methods=["POST"],
        response_model=ExplanationSaid,
        responses=asked | problems(400, 408, 413, 415, 422, 504),
        openapi_extra=documented.UPLOAD | documented.START,
    )
    app.add_api_websocket_route(STREAM, service.stream)
    app.add_api_route("/v1/model", service.model, responses=asked)
    app.add_api_route("/v1/census", service.census, responses=asked)
    text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
    app.add_api_route("/metrics", service.numbers, responses=asked | text, response_class=Response)
    app.add_api_route("/healthz", service.healthy, responses=problems(500))
    app.add_api_route("/readyz", service.ready, responses=problems(500, 503))
    for path, file in _page().items():
        app.router.routes.append(Route(path, _static(file)))
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _unknown)
    for left in (ClientDisconnect, GoneError):
        app.add_exception_handler(left, _left)
    paths = [route.path for route in app.routes if isinstance(route, Route | WebSocketRoute)]
    app.add_middleware(Observed, gate=service.gate, metrics=service.metrics, paths=paths)
    said = documented.openapi(app, keys=service.gate.needs_keys)
    app.openapi = lambda: said  # type: ignore[method-assign]
    return app


async def _again_and_again(every_s: float, work: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(every_s)
        await asyncio.to_thread(work)


def seconds(text: str) -> float:
    """A time in s that somebody asks for.

    Raises:
        Refused: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise Refused(422, "bad_parameter", "start_s: give a time in the recording in s, 0 or more.")
    return value


def _page() -> dict[str, Path]:
    """Files of the page by address; an address that is none of these reaches no file."""
    files = {f"/{path.relative_to(_PAGE)}": path for path in sorted(_PAGE.rglob("*")) if path.suffix in _TYPES}
    return ({"/": _PAGE / "index.html"} | files) if "/index.html" in files else {}


def _static(file: Path) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    content, kind = file.read_bytes(), _TYPES[file.suffix]

    async def serve(_request: Request) -> Response:
        return Response(content, media_type=kind)

    return serve


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return answer(error)


async def _unknown(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _WORDS.get(error.status_code, "refused")
    said = answer(Refused(error.status_code, code, f"{error.detail}. /openapi.json says what there is."))
    said.headers.update(error.headers or {})
    return said


async def _left(_request: Request, _error: Exception) -> Response:
    return Response(status_code=_GONE)
