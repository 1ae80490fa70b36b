"""A local page to try the recogniser: drop a photograph or use the camera, choose a size, see who it is."""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from dataset.photographs.seen_faces import FaceReader
from engine.cli import command
from engine.errors import UserError
from pipeline.recognition.answers import Identifier
from pipeline.recognition.backends import Backend, RecogniserOptions, open_backend
from pipeline.recognition.gallery_store import EMBEDDING_SIZE, Gallery
from pipeline.recognition.passphrase import read_passphrase

_HOST = "127.0.0.1"


class DemoError(UserError):
    """The page cannot be served."""


@dataclass(frozen=True, kw_only=True)
class DemoConfig(RecogniserOptions):
    """Serve a page on this machine only, where faces are shrunk, restored and recognised."""

    gallery: Annotated[Path | None, typer.Option(help="Enrolled people to compare with.")] = None
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8112
    min_size: Annotated[int, typer.Option(min=12, help="Smallest face to look for, in pixels.")] = 40
    threshold: Annotated[
        float | None, typer.Option(min=-1, max=1, help="Lowest score that names a person; else the gallery's.")
    ] = None
    passphrase_file: Annotated[Path | None, typer.Option(help="For encrypted templates; its first line.")] = None


def demo(config: DemoConfig) -> None:
    """Serve until Ctrl-C."""
    try:
        import uvicorn

        from pipeline.recognition.web_app import Recognition, make_app
    except ModuleNotFoundError as error:
        if error.name not in ("uvicorn", "starlette"):
            raise
        raise DemoError(f"the page needs {error.name}; install the extra `web`") from None
    recogniser = open_backend(config)
    identifier = _identifier(config, recogniser)
    app = make_app(Recognition(recogniser, identifier, FaceReader(config.min_size, config.threads, config.crops)))
    listener = _listen(config.port)
    print(f"http://{_HOST}:{listener.getsockname()[1]}/ (Ctrl-C ends it)", flush=True)
    server = uvicorn.Config(app, log_level="warning", limit_concurrency=32, timeout_keep_alive=5, server_header=False)
    uvicorn.Server(server).run(sockets=[listener])


def _identifier(config: DemoConfig, recogniser: Backend) -> Identifier:
    if config.gallery is None:
        threshold = recogniser.threshold if config.threshold is None else config.threshold
        return Identifier([], np.empty((0, EMBEDDING_SIZE), np.float32), threshold)
    with Gallery.open(config.gallery, recogniser.model, read_passphrase(config.passphrase_file)) as gallery:
        people, templates = gallery.templates()
        return Identifier(people, templates, gallery.threshold if config.threshold is None else config.threshold)


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
    except OSError as error:
        listener.close()
        raise DemoError(f"--port {port}: {str(error.strerror).lower()}; choose another, or 0 for a free one") from None
    return listener


main = command(DemoConfig, demo, example="python -m pipeline demo --gallery people.gallery")
if __name__ == "__main__":
    main()
