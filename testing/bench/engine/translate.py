"""A worker of `cargo xtask bench text`: translates on ONNX Runtime with the loop of examples/translate/translate.py.

    translate.py FOLDER FILE

Prints `ready` and how many tokens it writes for all lines of FILE, then answers each line of its standard input, a number of seconds, with
the least time in milliseconds that all lines take, one after the other, and how often it went through them. One thread.
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "examples/translate"))
from translate import Pipeline  # noqa: E402


class Counted(Pipeline):
    steps = 0

    def step(self, *arguments):
        self.steps += 1
        return super().step(*arguments)


pipeline = Counted(pathlib.Path(sys.argv[1]), threads=1)
lines = pathlib.Path(sys.argv[2]).read_text().splitlines()


def once():
    for line in lines:
        pipeline.greedy([line])


once()
print("ready", pipeline.steps, flush=True)
for line in sys.stdin:
    begin, least, rounds = time.perf_counter(), float("inf"), 0
    while not rounds or time.perf_counter() - begin < float(line):
        start = time.perf_counter()
        once()
        least, rounds = min(least, (time.perf_counter() - start) * 1e3), rounds + 1
    print(f"{least:.6f} {rounds}", flush=True)
