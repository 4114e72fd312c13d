"""The products and steps of `zor devices --time` in PyTorch: torch.compile, fused AdamW, the same precisions.

Prints a line for each as it is measured, the largest first: device, PRECISION:CASE, rows, milliseconds, TFLOP/s.
"""

import time

import torch
from torch import nn

PRODUCTS = (8192, 1024)
STEPS = (((8192, 8192, 8192), 8192), ((3072, 728, 3072), 512), ((3072, 728, 3072), 4096), ((784, 64, 784), 10))
PRECISIONS = ("f32", "tf32", "bf16")
ROUNDS = 9


def measure(run):
    """The median of nine rounds of 0.1 s, in seconds for a run; the device is waited for at the end of a round."""

    def round_of(runs):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(runs):
            run()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / runs

    round_of(3)
    runs = max(1, min(1000, int(0.1 / round_of(3)) + 1))
    return sorted(round_of(runs) for _ in range(ROUNDS))[ROUNDS // 2]


def product(side, precision):
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.rand(side, side, device="cuda", dtype=kind) for _ in range(2))
    result = torch.empty(side, side, device="cuda", dtype=kind)
    return lambda: torch.matmul(left, right, out=result)


def step(sizes, batch, precision):
    model = nn.Sequential(nn.Linear(sizes[0], sizes[1]), nn.ReLU(), nn.Linear(sizes[1], sizes[2])).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    inputs, targets = torch.rand(batch, sizes[0], device="cuda"), torch.rand(batch, sizes[2], device="cuda")
    compiled = torch.compile(model)

    def run():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
            loss = ((compiled(inputs) - targets) ** 2).mean()
        loss.backward()
        optimizer.step()

    return run


def show(precision, name, rows, seconds, operations):
    rate = operations / seconds / 1e12
    print(f"torch {precision + ':' + name:>22} {rows:>7} {1e3 * seconds:>12.3f} {rate:>10.3f}", flush=True)


def main():
    print(f"# PyTorch {torch.__version__}, {torch.cuda.get_device_name()}", flush=True)
    for precision in PRECISIONS:
        torch.set_float32_matmul_precision("highest" if precision == "f32" else "high")
        for side in PRODUCTS:
            show(precision, f"product-{side}", side, measure(product(side, precision)), 2 * side**3)
    for sizes, batch in STEPS:
        for precision in PRECISIONS:
            torch.set_float32_matmul_precision("highest" if precision == "f32" else "high")
            operations = 2 * batch * sizes[1] * (2 * sizes[0] + 3 * sizes[2])
            name = "-".join(map(str, sizes))
            show(precision, name, batch, measure(step(sizes, batch, precision)), operations)


if __name__ == "__main__":
    main()
