"""Memory that training takes anew at every step, kept by the process from one step to the next."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # of <malloc.h>
_NEVER = 2**31 - 1
_AT_ONCE = 64 << 20


def keep_memory() -> bool:
    """Has glibc keep freed memory for the next allocation, for the rest of the process.

    On a processor a training step fills some 300 MB of maps and frees them again. By default the largest go back to the
    system every time, and come again as pages that it has to clear: up to 30,000 of them and 50 ms a step. The most
    memory that the process ever has stays the same.

    Returns:
        Whether it does; other C libraries are left as they are.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER, _M_TOP_PAD: _AT_ONCE}
    return all([mallopt(setting, value) == 1 for setting, value in settings.items()])
