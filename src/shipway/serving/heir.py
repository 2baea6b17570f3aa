"""A worker's heir: it shares the worker's memory, so that a worker that is killed hangs up at once.

Linux takes a dying process's memory apart first, and ends its connections after that. For a
worker of 40 MB that takes 2 ms and more, for a large model far longer, and all the while clients
send requests that nobody will read. Memory that another process has as well is only let go of, and
the connections end within a fraction of a millisecond. The heir is that other process.

It runs nothing: made by clone(2) on a stack of its own and without a descriptor, it waits in the C
library for what never comes, and is stopped there (SIGSTOP). It ends with the worker's process
group, which whoever started the worker sees to. If nobody is left to do so, the system does: a
group that is orphaned while one of its members is stopped is sent SIGHUP (POSIX, ``_exit``), which
the heir dies of and the worker ignores. What tools show as an heir's memory is the worker's,
counted twice. Where none can be made, a worker that is killed hangs up a little later.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import sys
import threading
from collections.abc import Iterator

NAME = "shipway-heir"
"""What tools show as its name; the system has room for 15 characters."""
_CLONE_VM, _CLONE_FILES = 0x100, 0x400  # sched.h
_SET_NAME = 15  # PR_SET_NAME of prctl.h
_CLOSE_RANGE, _UNSHARE, _ALL = 436, 2, 0xFFFFFFFF  # SYS_close_range, CLOSE_RANGE_UNSHARE
_ROOM_BYTES, _STACK_BYTES = 1 << 12, 1 << 16


@contextlib.contextmanager
def memory_shared() -> Iterator[int | None]:
    """Have an heir for as long as the context lasts; its process id, or None without one.

    SIGHUP is ignored meanwhile. Only in the main thread.
    """
    room = mmap.mmap(-1, _ROOM_BYTES + _STACK_BYTES)
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the heir takes this over
    try:
        heir = _made(room) if sys.platform == "linux" else None
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if heir is None:
            yield None
        else:
            with _ended_at_last(heir):
                yield heir
    finally:
        signal.signal(signal.SIGHUP, before)


@contextlib.contextmanager
def _ended_at_last(heir: int) -> Iterator[None]:
    descriptor = os.pidfd_open(heir)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGSTOP)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.waitid(os.P_PIDFD, descriptor, os.WEXITED)
        os.close(descriptor)


def _made(room: mmap.mmap) -> int | None:
    """An heir that waits at a barrier at the beginning of *room*, on a stack that ends with it."""
    libc = ctypes.CDLL(None)
    barrier = ctypes.addressof(ctypes.c_char.from_buffer(room))
    stack = ctypes.c_void_p(barrier + len(room))
    # Two would have to come for it to open. Waiting at it touches nothing that the C library keeps
    # for each thread: of that an heir has only what belongs to the thread that made it.
    libc.pthread_barrier_init(ctypes.c_void_p(barrier), None, 2)
    wait = ctypes.cast(libc.pthread_barrier_wait, ctypes.c_void_p)
    found: list[int] = []

    def make() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - {signal.SIGHUP})
        libc.prctl(_SET_NAME, NAME.encode(), 0, 0, 0)
        # From here on this thread has descriptors of its own, which are none; and the heir too.
        if libc.syscall(_CLOSE_RANGE, 0, _ALL, _UNSHARE) == 0:
            flags = _CLONE_VM | _CLONE_FILES | signal.SIGCHLD
            found.append(libc.clone(wait, stack, flags, ctypes.c_void_p(barrier)))

    maker = threading.Thread(target=make, name="maker-of-the-heir")
    maker.start()
    maker.join()
    return found[0] if found and found[0] > 0 else None
