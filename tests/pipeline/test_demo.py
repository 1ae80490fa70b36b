"""The page answers its own origin, refuses everybody else, and survives whatever is sent to it."""

import io
import json
import os
import random
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataset.photographs.seen_faces import FaceReader
from pipeline.recognition.answers import Identifier

starlette = pytest.importorskip("starlette", reason="needs the extra `web`")
uvicorn = pytest.importorskip("uvicorn", reason="needs the extra `web`")

from pipeline.recognition.web_app import LARGEST_UPLOAD_BYTES, Recognition, make_app  # noqa: E402

CHROMIUM = "/usr/bin/chromium"


class PixelBackend:
    """Embeds a face by its own pixels, so that equal faces are alike and nothing has to be trained."""

    model, threshold = "pixels", 0.9

    def embed(self, faces: np.ndarray) -> np.ndarray:
        seen = self.restore(faces)[:, :, ::8, ::8].reshape(len(faces), -1)[:, :512] - 0.5
        return (seen / np.linalg.norm(seen, axis=1, keepdims=True)).astype(np.float32)

    def restore(self, faces: np.ndarray) -> np.ndarray:
        side = np.arange(112) * faces.shape[2] // 112
        return faces[:, :, side][:, :, :, np.arange(112) * faces.shape[3] // 112]


def face(seed: int) -> np.ndarray:
    blocks = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), np.uint8)
    return np.array(Image.fromarray(blocks).resize((112, 112), Image.Resampling.BICUBIC))


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    backend = PixelBackend()
    people = ["Zoë", "李雷"]
    templates = np.concatenate([backend.embed(face(seed).transpose(2, 0, 1)[None] / 255) for seed in (1, 2)])
    app = make_app(Recognition(backend, Identifier(people, templates, 0.9), FaceReader()))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_keep_alive=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(10)
    listener.close()


def ask(port: int, request: bytes, hang_up: bool = False) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            connection.sendall(request)
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        except (ConnectionError, TimeoutError):
            return b""
        return b"".join(parts)


def post(port: int, body: bytes, target: str = "/recognise?size=16", **headers: str) -> tuple[int, dict[str, Any]]:
    fields = {
        "Host": f"127.0.0.1:{port}",
        "Content-Type": "application/octet-stream",
        "Content-Length": str(len(body)),
        "Connection": "close",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    reply = ask(port, f"POST {target} HTTP/1.1\r\n{head}\r\n".encode() + body)
    status, _, rest = reply.partition(b"\r\n")
    content = rest.partition(b"\r\n\r\n")[2]
    return int(status.split()[1]), json.loads(content) if content.startswith(b"{") else {}


def get(port: int, target: str, host: str | None = None) -> bytes:
    head = f"GET {target} HTTP/1.1\r\nHost: {host or f'127.0.0.1:{port}'}\r\nConnection: close\r\n\r\n"
    return ask(port, head.encode())


def test_a_face_is_shown_small_enlarged_and_restored_and_named(port: int) -> None:
    status, found = post(port, png(face(1)))
    assert status == 200
    (shown,) = found["faces"]
    assert shown["answer"]["person"] == "Zoë" and shown["seen_px"] == 16
    assert all(shown[view].startswith("data:image/png;base64,") for view in ("vlr", "bicubic", "restored"))


def test_an_upload_is_never_written_to_a_file(port: int) -> None:
    written: list[object] = []

    def notice(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            written.append(arguments[0])

    watching = True
    sys.addaudithook(notice)  # stays for the process, which is why it can be switched off
    status, _ = post(port, png(face(1)))
    watching = False
    assert status == 200 and written == []


def test_a_stranger_is_unknown(port: int) -> None:
    _, found = post(port, png(face(9)))
    assert found["faces"][0]["answer"]["person"] is None
    assert found["faces"][0]["words"].startswith("unknown")


@pytest.mark.parametrize(
    ("body", "headers", "status", "message"),
    [
        (b"", {}, 400, "empty file"),
        (b"hello", {}, 400, "not an image"),
        (png(face(1))[:400], {}, 400, "damaged image"),
        (png(face(1)), {"Origin": "http://evil.example"}, 403, "another page"),
        (png(face(1)), {"Origin": "null"}, 403, "another page"),
        (png(face(1)), {"Content_Type": "text/plain"}, 400, "octet-stream"),
        (png(np.zeros((3, 3, 3), np.uint8)), {}, 400, "needs 6 px"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    port: int, body: bytes, headers: dict[str, str], status: int, message: str
) -> None:
    answered, content = post(port, body, **headers)
    assert (answered, message in content["error"]) == (status, True), content
    assert "/tmp" not in content["error"]


@pytest.mark.parametrize("size", ["", "5", "113", "-1", "1e9", "٣٣", "999999999999"])
def test_a_size_out_of_range_is_refused(port: int, size: str) -> None:
    from urllib.parse import quote

    status, content = post(port, png(face(1)), f"/recognise?size={quote(size)}")
    assert status == 400 and "6 to 112" in content["error"]


def test_an_upload_over_the_limit_is_refused(port: int) -> None:
    status, content = post(port, bytes(LARGEST_UPLOAD_BYTES + 1))
    assert status == 400 and "larger than 12 MB" in content["error"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "169.254.0.1", "localhost.evil.example"])
def test_another_host_name_is_not_answered(port: int, host: str) -> None:
    assert get(port, "/", host).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "target", ["/../web_app.py", "/%2e%2e/web_app.py", "/..%2fweb_app.py", "//etc/passwd", "/demo.js/../../web_app.py"]
)
def test_no_path_leads_out_of_the_page(port: int, target: str) -> None:
    reply = get(port, target)
    assert reply.startswith(b"HTTP/1.1 404") and b"import" not in reply


def test_the_page_confines_itself(port: int) -> None:
    reply = get(port, "/")
    assert reply.startswith(b"HTTP/1.1 200")
    assert b"default-src 'none'" in reply and b"nosniff" in reply
    assert b"http://" not in reply.partition(b"\r\n\r\n")[2] and b"https://" not in reply.partition(b"\r\n\r\n")[2]


def test_the_server_lives_through_200_malformed_requests(port: int) -> None:
    draw = random.Random(0)
    good = b"POST /recognise?size=16 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n"
    for number in range(200):
        damaged = bytearray(good + b"Content-Length: 40\r\n\r\n" + draw.randbytes(40))
        for _ in range(draw.randint(1, 30)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        request = [bytes(damaged), draw.randbytes(200), damaged[: draw.randrange(len(damaged))], good * 50][number % 4]
        assert b"Traceback" not in ask(port, bytes(request), hang_up=True)
    assert post(port, png(face(1)))[0] == 200


def test_in_a_browser_a_photograph_is_shown_and_the_slider_asks_again(port: int, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"needs a browser at {CHROMIUM}")
    photograph = tmp_path / "face.png"
    photograph.write_bytes(png(face(2)))
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"http://127.0.0.1:{port}/")
        page.set_input_files("#file", photograph)
        page.wait_for_selector("article")
        assert "李雷" in page.inner_text(".words")
        assert page.inner_text("figcaption >> nth=0") == "16 px"
        assert page.evaluate("document.querySelector('.restored').naturalWidth") == 112
        page.fill("#size", "40")
        page.wait_for_selector("figcaption:text-is('40 px')")
        (tmp_path / "text.jpg").write_text("no picture")
        page.set_input_files("#file", tmp_path / "text.jpg")
        page.wait_for_selector("#status.error")
        assert "not an image" in page.inner_text("#status")
        browser.close()
    assert problems in ([], ["Failed to load resource: the server responded with a status of 400 (Bad Request)"])
    assert all(url.startswith((f"http://127.0.0.1:{port}/", "data:", "blob:")) for url in requests)
