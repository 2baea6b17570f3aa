"""What the server's children are forked from: ``python -m shipway.bootstrap.zygote``.

What a worker imports is imported here, the libraries of the live models included. What the control
process needs beyond that it imports itself, so that workers do not carry it.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence

import msgspec

from shipway.bootstrap import worker
from shipway.bootstrap.logs import configured_logs
from shipway.bootstrap.processes import ProcessPlan
from shipway.errors import ShipwayError
from shipway.registry.current import open_current
from shipway.runtimes.loading import preload
from shipway.security.curves import require_cryptography
from shipway.serving.zygote import read_zygote, run_zygote

_log = logging.getLogger(__name__)


def main() -> int:
    """Become children until the supervisor is gone."""
    with configured_logs("zygote"):
        try:
            conversation, (argument,) = read_zygote(sys.argv[1:])
        except ShipwayError as error:
            _log.error("%s", error, extra={"code": error.code})
            return 1
        _preload(msgspec.json.decode(argument, type=ProcessPlan))

        def be_worker(arguments: Sequence[str]) -> int:
            return worker.main([argument, *arguments])

        def be_control(arguments: Sequence[str]) -> int:
            control = importlib.import_module("shipway.bootstrap.control")
            code: int = control.main([argument, *arguments])
            return code

        return run_zygote(conversation, {"worker": be_worker, "control": be_control})


def _preload(plan: ProcessPlan) -> None:
    """Import what the live versions need. Whatever is wrong with them, a worker will tell."""
    try:
        with open_current(plan.home_path, plan.addresses) as registry:
            versions = [
                registry.version(state.model, state.live)
                for state in registry.endpoints()
                if state.live is not None
            ]
            signed = any(registry.signing.records(version) for version in versions)
        for name in sorted({version.manifest.spec.format for version in versions}):
            preload(name)
        if signed:
            require_cryptography("verify who signed a version")
    except (ShipwayError, ImportError) as error:
        _log.warning("nothing is imported ahead: %s", error)


if __name__ == "__main__":
    sys.exit(main())
