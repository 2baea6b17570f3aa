"""A terminal in a folder of its own: runs the commands of a page as a reader would type them.

Ports are free ones and the API key is the one that was really shown; so that a page can name
``127.0.0.1:8080`` and ``KEY``, the terminal exchanges them on the way in and on the way out.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

_ADDRESSES = {
    "127.0.0.1:8080": re.compile(r"answers at https?://(\S+)"),
    "127.0.0.1:8081": re.compile(r"metrics and administration: https?://(\S+)"),
    "127.0.0.1:8082": re.compile(r"over gRPC: (\S+)"),
}
_KEY_SHOWN = re.compile(r"shown only now: (\S+)")
_KEY = re.compile(r"(?<![\w$-])KEY\b")
_ANYTHING = re.compile(r"(?:\\ )?(?:\\\.){3}(?:\\ )?")
_RULE = re.compile("─{3,}")
_PATIENCE_S = 120.0
_OF_A_SERVER = {
    "SHIPWAY_SERVE__PORT": "0",
    "SHIPWAY_SERVE__CONTROL_PORT": "0",
    "SHIPWAY_SERVE__GRPC_PORT": "0",
    "SHIPWAY_SERVE__DRAIN_WAIT_S": "0",
}


@dataclass
class Terminal:
    """What one reader has open: a folder, exported variables, and programs that go on."""

    folder: Path
    aside: Path
    real: dict[str, str] = field(default_factory=dict)
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.aside.mkdir(parents=True, exist_ok=True)
        (self.aside / "exports").touch()

    def session(self, source: str) -> None:
        """Type the commands of a ``console`` block, and hold each answer against the page's."""
        for command, expected in _commands(source):
            answer = self.run(command)
            if expected.strip() and not matches(expected, answer):
                raise AssertionError(f"$ {command}\n{_difference(expected, answer)}")

    def run(self, command: str) -> str:
        """The answer of *command*, which must end with 0."""
        done = subprocess.run(
            ["bash", "-c", self._script(command)],
            cwd=self.folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_PATIENCE_S,
        )
        self.folder = Path((self.aside / "folder").read_text(encoding="utf-8").strip())
        answer = self._as_written(done.stdout)
        if done.returncode != 0:
            raise AssertionError(f"$ {command}\nended with {done.returncode}:\n{answer}")
        return answer

    def leave_running(self, source: str) -> None:
        """Start the one command of *source*, and wait until it has said what the page shows."""
        ((command, expected),) = _commands(source)
        log = self.aside / f"background-{len(self.running)}.txt"
        with log.open("w") as output:
            process = subprocess.Popen(
                ["bash", "-c", f". {self.aside}/exports; exec {self.typed(command)}"],
                cwd=self.folder,
                env={**_environment(), **_OF_A_SERVER},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.running.append(process)
        give_up = time.monotonic() + _PATIENCE_S
        while not matches(expected, self._as_written(log.read_text())):
            ended = process.poll() is not None
            if ended or time.monotonic() > give_up:
                raise AssertionError(f"$ {command}\n{_difference(expected, log.read_text())}")
            time.sleep(0.05)

    def typed(self, text: str) -> str:
        """*text* of a page with the real addresses and the real key."""
        for written in _ADDRESSES:
            text = text.replace(written, self.real.get(written, written))
        return _KEY.sub(self.real.get("KEY", "KEY"), text)

    def close(self) -> None:
        """End what is still running, by SIGTERM, as the page's reader would."""
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(_PATIENCE_S / 4)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.running.clear()

    def _script(self, command: str) -> str:
        return (
            f". {self.aside}/exports\n{self.typed(command)}\ncode=$?\n"
            f"export -p > {self.aside}/exports\npwd > {self.aside}/folder\nexit $code\n"
        )

    def _as_written(self, answer: str) -> str:
        """*answer* with the addresses as pages write them; new ones and keys are remembered."""
        for written, pattern in _ADDRESSES.items():
            if found := pattern.search(answer):
                self.real[written] = found[1]
        if found := _KEY_SHOWN.search(answer):
            self.real["KEY"] = found[1]
        for written in _ADDRESSES:
            answer = answer.replace(self.real.get(written, written), written)
        return answer


def matches(expected: str, answer: str) -> bool:
    """Whether *answer* is what the page shows.

    A line of ``...`` alone stands for any number of lines, ``...`` within one for any text. Empty
    lines, the length of a rule and the width of a space do not count.
    """
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else f"{_ANYTHING.sub('.*?', re.escape(line))}\n"
        for line in _lines(expected)
    )
    text = "".join(f"{line}\n" for line in _lines(answer))
    return re.fullmatch(pattern, text) is not None


def _lines(text: str) -> list[str]:
    plain = (" ".join(_RULE.sub("───", line).split()) for line in text.splitlines())
    return [line for line in plain if line]


def _difference(expected: str, answer: str) -> str:
    return f"the page shows:\n{expected.rstrip()}\n\nthe answer is:\n{answer.rstrip()}\n"


def _commands(source: str) -> list[tuple[str, str]]:
    """Each command of a ``console`` block with the output that stands below it."""
    found: list[tuple[str, str]] = []
    for part in re.split(r"^\$ ", source, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        end = 1
        while lines[end - 1].rstrip("\n").endswith("\\"):
            end += 1
        found.append(("".join(lines[:end]).rstrip("\n"), "".join(lines[end:])))
    assert found, "a console block has no line that begins with $"
    return found


def search_path() -> str:
    """The path with the programs of this Python first, the tested Shipway among them."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def _environment() -> dict[str, str]:
    """That of this process, without settings of Shipway."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SHIPWAY_")}
    return {**kept, "PATH": search_path(), "PYTHONWARNINGS": ""}
