"""The demo's web application: one page, one question, nothing that leaves the machine.

Only the own host name is answered and only the own origin may ask, so that no other page in the same browser can
(DNS rebinding, cross-site requests). Uploads are raw image bytes up to a limit; they stay in memory.
"""

import base64
import io
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from dataset.photographs.align import FACE_PX
from dataset.photographs.image_files import decode_image
from dataset.photographs.seen_faces import SMALLEST_PX, FaceReader, SeenFace
from engine.errors import UserError
from pipeline.recognition.answers import Identifier
from pipeline.recognition.backends import Backend

LARGEST_UPLOAD_BYTES = 12_000_000
MOST_FACES = 8
HOSTS = ["127.0.0.1", "localhost"]
_NAME = "photograph"
_PAGE = Path(__file__).parent / "web"
_FILES = {"/": "index.html", "/demo.js": "demo.js", "/demo.css": "demo.css"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data: blob:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class RequestError(UserError):
    """A request that the page would not make."""


class Recognition:
    """Answers for one photograph at a time.

    Args:
        recogniser: Either backend.
        identifier: Of a gallery, or of nobody.
        reader: Finds faces.
    """

    def __init__(self, recogniser: Backend, identifier: Identifier, reader: FaceReader) -> None:
        self._recogniser, self._identifier, self._reader = recogniser, identifier, reader
        self._one_at_a_time = threading.Lock()

    def answer(self, photograph: bytes, size_px: int) -> dict[str, Any]:
        """Find the faces of an encoded image and show each at `size_px`.

        Raises:
            UserError: It cannot be read, or shows no face.
        """
        with self._one_at_a_time:
            try:
                faces = self._reader.find(decode_image(photograph, _NAME), _NAME)
            except UserError as error:
                raise RequestError(str(error).removeprefix(f"{_NAME}: ")) from None
            return {
                "threshold": self._identifier.threshold,
                "faces": [self._shown(face, size_px) for face in faces[:MOST_FACES]],
            }

    def _shown(self, face: SeenFace, size_px: int) -> dict[str, Any]:
        seen = face.tensor(size_px)
        small = _pixels(seen)
        bicubic = np.asarray(Image.fromarray(small).resize((FACE_PX, FACE_PX), Image.Resampling.BICUBIC))
        answer = self._identifier.answer(self._recogniser.embed(seen)[0])
        pictures = {"vlr": small, "bicubic": bicubic, "restored": _pixels(self._recogniser.restore(seen))}
        return {
            **{name: _data_url(pixels) for name, pixels in pictures.items()},
            "seen_px": max(small.shape[:2]),
            "answer": answer.as_dict(),
            "words": answer.words(),
            **face.place(),
        }


def make_app(recognition: Recognition) -> Starlette:
    """Return the application."""

    async def recognise(request: Request) -> Response:
        size = _size(request.query_params.get("size", ""))
        photograph = await _body(request)
        return JSONResponse(await run_in_threadpool(recognition.answer, photograph, size))

    routes = [Route(address, _file(name), methods=["GET"]) for address, name in _FILES.items()]
    return Starlette(
        routes=[*routes, Route("/recognise", recognise, methods=["POST"])],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS),
            Middleware(BaseHTTPMiddleware, dispatch=_guard),
        ],
        exception_handlers={UserError: _refuse, ClientDisconnect: _refuse},
    )


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse what other pages ask; add the headers that confine this one."""
    origin = request.headers.get("origin")
    if origin is not None and origin != f"http://{request.headers.get('host', '')}":
        response: Response = JSONResponse({"error": "another page may not ask"}, status_code=403)
    else:
        response = await call_next(request)
    response.headers.update(_HEADERS)
    return response


async def _refuse(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": " ".join(str(error).split())}, status_code=400)


async def _body(request: Request) -> bytes:
    """Read an upload, giving up as soon as it is too large."""
    if request.headers.get("content-type") != "application/octet-stream":
        raise RequestError("send the photograph's bytes as application/octet-stream")
    parts, total = [], 0
    async for part in request.stream():
        total += len(part)
        if total > LARGEST_UPLOAD_BYTES:
            raise RequestError(f"the photograph is larger than {LARGEST_UPLOAD_BYTES // 1_000_000} MB; make it smaller")
        parts.append(part)
    return b"".join(parts)


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 3 or not SMALLEST_PX <= int(text) <= FACE_PX:
        raise RequestError(f"size: give {SMALLEST_PX} to {FACE_PX} pixels")
    return int(text)


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        return FileResponse(_PAGE / name)

    return serve


def _pixels(faces: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Bring (1, 3, h, w) in [0, 1] to (h, w, 3) uint8."""
    pixels: NDArray[np.uint8] = np.rint(faces[0].transpose(1, 2, 0) * 255).clip(0, 255).astype(np.uint8)
    return pixels


def _data_url(pixels: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
