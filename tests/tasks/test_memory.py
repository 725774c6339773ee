"""Memory is kept: a process that fills and frees the same tensors over and over asks the system for it once."""

import subprocess
import sys

import pytest

from deepfake_lab.tasks.memory import keep_memory

FAULTS = """
import resource
import torch
from deepfake_lab.tasks.memory import keep_memory
torch.set_num_threads(1)
{keep}
def step():
    maps = [torch.ones(1 << 22) for _ in range(4)]  # 16 MB each
    largest = torch.ones(1 << 24)  # 64 MB, more than glibc's threshold can be raised to
for _ in range(4):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 5)
"""


def faults(keep):
    """Page faults a step, in a process of its own: what it is told lasts as long as it does."""
    process = subprocess.run([sys.executable, "-c", FAULTS.format(keep=keep)], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return int(process.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is asked to keep memory")
def test_kept_memory_is_not_asked_for_again():
    assert faults("pass") > 10_000  # 128 MB are 32,768 pages
    assert faults("assert keep_memory()") < 500


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert keep_memory() is False
