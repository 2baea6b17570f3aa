"""LitServe: one API process, one worker that takes up to 32 requests at a time."""

from __future__ import annotations

from typing import Any

import litserve
from scoring import Scorer, arguments


class Inference(litserve.LitAPI):
    """The worker's process."""

    model = ""

    def setup(self, device: str) -> None:
        """Open the model."""
        self._scorer = Scorer(self.model)

    def batch(self, inputs: list[Any]) -> list[Any]:
        """What came together, as it came."""
        return inputs

    def predict(self, documents: list[Any]) -> list[list[float]]:
        """The answers to a batch."""
        return self._scorer.documents(documents)

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        """One each."""
        return output

    def encode_response(self, output: list[float]) -> dict[str, list[float]]:
        """An answer."""
        return {"scores": output}


if __name__ == "__main__":
    told = arguments()
    api = Inference(max_batch_size=32, batch_timeout=0.001)
    api.model = told.model
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=told.http_port,
        num_api_servers=1,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
