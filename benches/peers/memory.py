"""Peak memory of training a multilayer perceptron in PyTorch, above what the process has after a first tiny step.

Run by `cargo xtask bench --suite memory --peer torch`, a process a measurement: the arguments are threads, batch and sizes. Prints a JSON object.
Linux alone says how much memory a process has.
"""

import json
import sys

import torch

from step import Perceptron


def status(key):
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(key))
    return 1024 * int(line.split()[1])


def main():
    threads, batch, *sizes = (int(argument) for argument in sys.argv[1:])
    torch.set_num_threads(threads)
    Perceptron([8, 8, 8], 2).step()
    before = status("VmRSS")
    # From here on the highest is counted anew.
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    trainer = Perceptron(sizes, batch)
    for _ in range(3):
        trainer.step()
    print(json.dumps({"bytes": status("VmHWM") - before, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
