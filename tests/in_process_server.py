"""An embedded server in this process."""

from __future__ import annotations

import threading
from pathlib import Path

from swift_http import Limits, create_app, create_head_app
from swift_http.server import Server, bind, url_of
from swift_plugin_transformers.head_engine import EmbeddedHeadEngine
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import load


class Served:
    """A checkpoint behind a URL, a language model or one with a head; `engine` is its engine."""

    def __init__(self, checkpoint: Path, folder: Path, mode: str = "processed_logprobs") -> None:
        options = ServeOptions.checked({"device": "cpu", "dtype": "float32", "memory": "64MB", "logprobs_mode": mode})
        self.engine = load(checkpoint, {}, "m", options)
        self.socket = bind("127.0.0.1", 0)
        if isinstance(self.engine, EmbeddedHeadEngine):
            app = create_head_app(self.engine, limits=Limits())
        else:
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
