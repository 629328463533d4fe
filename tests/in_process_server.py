"""An embedded server in this process."""

from __future__ import annotations

import threading
from pathlib import Path

from swift_http import Limits, create_app
from swift_http.server import Server, bind, url_of
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import load


class Served:
    """The tiny model behind a URL; `engine` is its engine."""

    def __init__(self, checkpoint: Path, folder: Path, mode: str = "processed_logprobs") -> None:
        options = ServeOptions.checked({"device": "cpu", "dtype": "float32", "memory": "64MB", "logprobs_mode": mode})
        self.engine = load(checkpoint, {}, "m", options)
        self.socket = bind("127.0.0.1", 0)
        app = create_app(self.engine, limits=Limits(), adapter_folders=[folder], weight_folders=[folder])
        self.server = Server(app, lambda: None, grace=0.2)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
        self.url = url_of(self.socket)

    def close(self) -> None:
        """Stop serving."""
        self.server.should_exit = True
        self.thread.join()
        self.engine.close()
        self.socket.close()
