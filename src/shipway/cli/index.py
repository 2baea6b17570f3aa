"""The commands: what each is called, where it is, and what the list of commands says of it.

A command's module is imported when the command is used, and the api when it runs, so that help
answers at once. Each summary is also the first line of the command's own docstring.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One command: ``target`` is ``module:function``, or ``module:app`` for a family of them."""

    name: str
    target: str
    group: str
    summary: str
    example: str


PREPARE, RELEASE, RUN, WATCH = "Prepare", "Release", "Run", "Watch"
KEEP, SHIP = "Keep", "Ship elsewhere"
GROUPS = (PREPARE, RELEASE, RUN, WATCH, KEEP, SHIP)

COMMANDS = (
    Command(
        "demo",
        "shipway.cli.demo:demo",
        PREPARE,
        "Live the whole life of one model on 336,776 real flights.",
        "shipway demo --fast",
    ),
    Command(
        "init",
        "shipway.cli.init:init",
        PREPARE,
        "Write a first shipway.toml, guessed from the training table.",
        "shipway init --data data/train.parquet --target late",
    ),
    Command(
        "contract",
        "shipway.cli.contract:app",
        PREPARE,
        "Infer what the data promises, show and compare it, or hold a table against it.",
        "shipway contract infer",
    ),
    Command(
        "check",
        "shipway.cli.check:check",
        PREPARE,
        "Check settings, contract and tables, and show where each setting comes from.",
        "shipway check",
    ),
    Command(
        "doctor",
        "shipway.cli.doctor:doctor",
        PREPARE,
        "Look whether machine, packages, settings and store are fit for the work.",
        "shipway doctor",
    ),
    Command(
        "pack",
        "shipway.cli.pack:pack",
        RELEASE,
        "Make a model file a version: converted, proved equal, published.",
        "shipway pack model.joblib --trust-pickle",
    ),
    Command(
        "import",
        "shipway.cli.import_model:import_model",
        RELEASE,
        "Make a model of MLflow's, or another tool's ModelPack, a version.",
        "shipway import mlruns/1/models/m-1f2e/artifacts",
    ),
    Command(
        "gate",
        "shipway.cli.gate:gate",
        RELEASE,
        "Judge a version by the objectives, on rows that it has not seen.",
        "shipway gate",
    ),
    Command(
        "promote",
        "shipway.cli.promote:promote",
        RELEASE,
        "Let a version answer the requests, if its gate allows it.",
        "shipway promote 2",
    ),
    Command(
        "rollback",
        "shipway.cli.rollback:rollback",
        RELEASE,
        "Go back to the version that answered before.",
        'shipway rollback --reason "constant answers"',
    ),
    Command(
        "versions",
        "shipway.cli.versions:app",
        RELEASE,
        "List the versions, their verdicts, and who put which live when.",
        "shipway versions --history",
    ),
    Command(
        "sign",
        "shipway.cli.sign:sign",
        RELEASE,
        "Sign a version, or show with --dry-run who would sign it.",
        "shipway sign 3",
    ),
    Command(
        "verify",
        "shipway.cli.verify:verify",
        RELEASE,
        "Verify every byte of a version, and who signed it, as it is done before it is loaded.",
        "shipway verify 3",
    ),
    Command(
        "encryption",
        "shipway.cli.encryption:app",
        RELEASE,
        "Encrypt versions and events where they are stored, and say who can read them.",
        "shipway encryption status",
    ),
    Command(
        "card",
        "shipway.cli.card:card",
        RELEASE,
        "Write the model card of a version, from the records alone.",
        "shipway card",
    ),
    Command(
        "serve",
        "shipway.cli.serve:serve",
        RUN,
        "Answer requests over HTTP until told to stop.",
        "shipway serve --port 8080",
    ),
    Command(
        "keys",
        "shipway.cli.keys:app",
        RUN,
        "Create, list and revoke the API keys of the server.",
        "shipway keys create --name dashboard",
    ),
    Command(
        "predict",
        "shipway.cli.predict:predict",
        RUN,
        "Ask a running server about the rows of a table, or about one row.",
        "shipway predict data/new.parquet",
    ),
    Command(
        "score",
        "shipway.cli.score:score",
        RUN,
        "Predict a whole table offline, in bounded memory.",
        "shipway score data/new.parquet predictions.parquet",
    ),
    Command(
        "labels",
        "shipway.cli.labels:app",
        WATCH,
        "Add what turned out to be true, by prediction id.",
        "shipway labels add outcomes.csv",
    ),
    Command(
        "monitor",
        "shipway.cli.monitor:monitor",
        WATCH,
        "Judge the live traffic: objectives, drift, alerts.",
        "shipway monitor --report report.html",
    ),
    Command(
        "status",
        "shipway.cli.status:status",
        WATCH,
        "Show what is live, and which processes answer.",
        "shipway status",
    ),
    Command(
        "audit",
        "shipway.cli.audit:app",
        WATCH,
        "Show who did what and what was refused, and check that the log may be believed.",
        "shipway audit verify",
    ),
    Command(
        "backup",
        "shipway.cli.backup:backup",
        KEEP,
        "Write the whole store into one file, while it is in use.",
        "shipway backup ../store.backup",
    ),
    Command(
        "restore",
        "shipway.cli.backup:restore",
        KEEP,
        "Make a store of a backup, checked to the last byte.",
        "shipway restore ../store.backup restored",
    ),
    Command(
        "gc",
        "shipway.cli.gc:gc",
        KEEP,
        "Remove the stored bytes that nothing needs any more.",
        "shipway gc --dry-run",
    ),
    Command(
        "push",
        "shipway.cli.push:push",
        SHIP,
        "Send a version to an OCI registry or folder, with its signatures.",
        "shipway push flight-delay@3 registry.example/models/flight-delay:3",
    ),
    Command(
        "pull",
        "shipway.cli.pull:pull",
        SHIP,
        "Take a version from an OCI registry, folder or archive, if it is believed.",
        "shipway pull registry.example/models/flight-delay:3",
    ),
    Command(
        "export",
        "shipway.cli.export:export",
        SHIP,
        "Write a version as an MLflow model, for mlflow.pyfunc.load_model.",
        "shipway export flight-delay@3 out/model --as mlflow",
    ),
    Command(
        "image",
        "shipway.cli.image:image",
        SHIP,
        "Write all that builds a container image of the server, offline.",
        "shipway image out/image",
    ),
    Command(
        "edge",
        "shipway.cli.edge:edge",
        SHIP,
        "Write a bundle that predicts with onnxruntime and numpy alone.",
        "shipway edge out/edge",
    ),
    Command(
        "ci",
        "shipway.cli.ci:app",
        SHIP,
        "Write the workflow that checks, packs and gates every change.",
        "shipway ci init github --model model.onnx",
    ),
)
