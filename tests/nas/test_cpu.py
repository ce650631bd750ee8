import os
import subprocess
import sys

CODE = """
import os, resource
from nas import cpu
cpu.prepare()
import torch
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
small = []
big = [torch.ones(1 << 18) for _ in range(300)]  # 300 MB in pieces of 1 MB
small = [torch.ones(16) for _ in range(100)]
full = resident()
del big
cpu.release()
print(os.environ["OMP_WAIT_POLICY"], full - resident() > 200e6)
"""


def test_threads_wait_passively_and_memory_is_given_back() -> None:
    bare = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=bare)
    policy, given_back = found.stdout.split()
    assert policy == "PASSIVE"
    assert given_back == "True" or not sys.platform.startswith("linux")
