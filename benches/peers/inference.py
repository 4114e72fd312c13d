"""Times a multilayer perceptron's answer to one sample in PyTorch on the CPU.

Run by `cargo xtask bench --suite inference --peer torch`: the argument is the number of threads. Reads one JSON object a line, `{"sizes": [...],
"samples": ...}`, and answers with the mean microseconds of a sample as `{"value": ...}`.
"""

import json
import sys
import time

import torch

from step import Perceptron


@torch.inference_mode()
def microseconds(model, sample, samples):
    start = time.perf_counter()
    for _ in range(samples):
        model(sample)
    return 1e6 * (time.perf_counter() - start) / samples


def main():
    torch.set_num_threads(int(sys.argv[1]))
    models = {}
    for line in sys.stdin:
        question = json.loads(line)
        sizes = tuple(question["sizes"])
        if sizes not in models:
            # Without the sigmoid at the end, which Zor's network has not.
            models[sizes] = Perceptron(sizes, 1).model[:-1].eval()
        value = microseconds(models[sizes], torch.rand(1, sizes[0]), question["samples"])
        print(json.dumps({"value": value, "torch": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()
