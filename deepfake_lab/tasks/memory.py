"""Memory of a process that trains."""

import ctypes
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_MAX: Final = -4
"""Settings that `mallopt(3)` knows by these numbers, of M_TRIM_THRESHOLD and M_MMAP_MAX."""

_NEVER: Final = -1


def keep_freed_memory() -> None:
    """Has the C library keep freed memory, for every step of training asks for as much again.

    Given back to the system, its pages are zeroed and mapped anew in each step: up to 0.3 of what a step of a small
    network costs a CPU. The most that the process ever needed stays with it. Nothing happens without the GNU C library.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl and macOS have none; on Windows there is nothing to look in
        return
    mallopt(_TRIM_THRESHOLD, _NEVER)
    mallopt(_MMAP_MAX, 0)
