"""Freed memory stays with the process: pages are touched for the first time once."""

import ctypes
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import torch
from deepfake_lab.tasks.memory import keep_freed_memory

torch.set_num_threads(1)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def touched(times):
    before = faults()
    for _ in range(times):
        maps = [torch.ones(2_000_000) for _ in range(15)]  # 120 MB
        del maps
    return faults() - before

touched(1)
plain = touched(5)
keep_freed_memory()
touched(5)
print(plain, touched(5))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="a C library that has no mallopt")
def test_pages_are_asked_for_once():
    told = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True).stdout
    plain, kept = map(int, told.split())
    assert plain > 500
    assert kept < plain / 20
