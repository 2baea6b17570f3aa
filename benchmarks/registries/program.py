"""A program that is measured: it does what each line on its input says, and tells how long it took.

It needs nothing but Python, for it also runs in the environments of others.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping

Command = Callable[[str], object]


def obey(commands: Mapping[str, Command]) -> None:
    """Do each line of standard input: the name of a command and what it is given.

    The answer is a line of JSON: ``seconds``, and what the command gave as ``result``.
    """
    for line in sys.stdin:
        name, _, given = line.strip().partition(" ")
        start = time.perf_counter()
        result = commands[name](given)
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "result": result}), flush=True)
