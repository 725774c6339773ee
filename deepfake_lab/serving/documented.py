"""What the service's own documentation (OpenAPI) says beside its addresses."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from deepfake_lab.serving.schemas import DecisionSaid, FinalSaid, Problem, StreamProblem

DESCRIPTION: Final = """Says of speech how probably it is fake.

**Streams**: a WebSocket at `/v1/stream?rate=16000` takes 16-bit samples of one channel, lowest byte first, at that
rate; `/v1/stream?format=opus` takes Ogg or WebM with Opus, as a browser's MediaRecorder gives it. Audio goes in binary
messages of up to 1 MB. Each window is answered by a `DecisionSaid`; after the text `end` comes a `FinalSaid`, and the
service closes. What cannot go on ends with a `StreamProblem`.

**Keys**, where they are needed: `Authorization: Bearer KEY` or `X-API-Key: KEY`; of a browser's WebSocket, the
subprotocols `deepfake-lab` and `key.KEY`.
"""
_SAID = {
    400: "the form cannot be read",
    401: "a key is needed",
    403: "a page of another address asks",
    408: "the upload takes too long",
    413: "too many bytes, or too long a recording",
    415: "no form",
    422: "no audio",
    429: "too many requests",
    500: "something went wrong here",
    503: "busy, or about to stop",
    504: "the recording was not judged in time",
}
_LATER = {"Retry-After": {"description": "s to wait", "schema": {"type": "integer", "minimum": 1}}}
UPLOAD: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "a recording, or a video with sound, in any format that FFmpeg knows",
                        }
                    },
                }
            }
        },
    }
}
START: Final = {
    "parameters": [
        {
            "name": "start_s",
            "in": "query",
            "required": False,
            "description": "where what is explained begins, in s; the service says where it ends",
            "schema": {"type": "number", "minimum": 0, "default": 0},
        }
    ]
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers that are problems, by status."""
    return {
        status: {"model": Problem, "description": _SAID[status]} | ({"headers": _LATER} if status in (429, 503) else {})
        for status in statuses
    }


def openapi(app: FastAPI, *, keys: bool) -> dict[str, Any]:
    """The documentation: what FastAPI finds, the messages of streams, and keys where they are needed."""
    made = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
    models = [(model, "serialization") for model in (DecisionSaid, FinalSaid, StreamProblem)]
    _, schemas = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    made["components"]["schemas"] |= schemas["$defs"]
    if keys:
        made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in made["paths"].items():
            for operation in operations.values() if path.startswith("/v1/") or path == "/metrics" else ():
                operation["security"] = [{"key": []}]
    return made
