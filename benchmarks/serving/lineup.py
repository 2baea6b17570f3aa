"""Who runs: Shipway with and without its guards, and the peers, each with how it is asked."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.serving import forms
from benchmarks.serving.kinds import Kind
from benchmarks.serving.results import Wire

SHIPWAY = "shipway"
UNGUARDED = "shipway without guards"


@dataclass(frozen=True, slots=True)
class Peer:
    """A server of others; ``title`` is how tables call it.

    ``path`` is where it is asked (``{kind}`` stands for the model), ``form`` what it is sent.
    ``prepared`` means that its program is called once before, to lay out the model. ``shares`` is
    another peer whose environment and program it has; the program is told the name.
    """

    name: str
    title: str
    path: str
    form: forms.Form = forms.documents
    wires: tuple[Wire, ...] = (Wire.JSON,)
    kinds: tuple[Kind, ...] = (Kind.NUMERIC, Kind.FLIGHTS)
    prepared: bool = False
    shares: str = ""


PEERS = (
    Peer("raw", "raw protocol, no model", "/", kinds=(Kind.NUMERIC,)),
    Peer("mosec", "mosec + onnxruntime", "/inference"),
    Peer("fastapi", "FastAPI + onnxruntime", "/{kind}"),
    Peer("litserve", "LitServe", "/predict"),
    Peer(
        "mlserver",
        "MLServer",
        "/v2/models/{kind}/infer",
        form=forms.oip,
        wires=(Wire.JSON, Wire.GRPC),
    ),
    Peer(
        "mlserver_tuned",
        "MLServer, tuned",
        "/v2/models/{kind}/infer",
        form=forms.oip,
        wires=(Wire.JSON, Wire.GRPC),
        shares="mlserver",
    ),
    Peer("bentoml", "BentoML", "/{kind}"),
    Peer("mlflow", "MLflow models serve", "/invocations", form=forms.mlflow, prepared=True),
)


def title_of(server: str) -> str:
    """How tables call *server*."""
    titles = {peer.name: peer.title for peer in PEERS}
    return titles.get(server, server.capitalize())
