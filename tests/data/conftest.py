import functools
import http.server
import io
import threading

import numpy as np
import pytest
from PIL import Image

from fishbone.data.raw import Request


@pytest.fixture
def ask():
    """A request for a source whose only root is a folder or URL."""

    def make(kind, root, path=None, threads=1):
        return Request(kind, path, (str(root),), threads)

    return make


@pytest.fixture
def encode():
    """A uint8 array as the bytes of a PNG, or of another lossless format."""

    def make(pixels, form="PNG"):
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(buffer, form, lossless=True)
        return buffer.getvalue()

    return make


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves ``/ok/…`` whole and ``/cut/…`` with the second half of the body missing."""

    def translate_path(self, path):
        return super().translate_path("/" + path.split("/", 2)[2])

    def copyfile(self, source, outputfile):
        body = source.read()
        outputfile.write(body[: len(body) // 2] if self.path.startswith("/cut/") else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """(URL of a server on this machine, folder that it serves); downloads go to ``tmp_path/cache``."""
    served = tmp_path / "served"
    served.mkdir()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=served))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", served
    server.shutdown()
    server.server_close()
