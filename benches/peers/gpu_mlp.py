"""The steps of `zor devices --time` in PyTorch: torch.compile, fused Adam, the same precisions. Prints a line for each."""

import time

import torch
from torch import nn

CASES = [((784, 64, 784), 10), ((3072, 728, 3072), 512), ((3072, 728, 3072), 4096), ((8192, 8192, 8192), 8192)]
ROUNDS = 9


def measure(sizes, batch, precision):
    torch.set_float32_matmul_precision("highest" if precision == "f32" else "high")
    model = nn.Sequential(nn.Linear(sizes[0], sizes[1]), nn.ReLU(), nn.Linear(sizes[1], sizes[2])).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    inputs, targets = torch.rand(batch, sizes[0], device="cuda"), torch.rand(batch, sizes[2], device="cuda")
    compiled = torch.compile(model)

    def run(steps):
        start = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
                loss = ((compiled(inputs) - targets) ** 2).mean()
            loss.backward()
            optimizer.step()
        loss.item()
        return (time.perf_counter() - start) / steps

    run(3)
    steps = max(1, min(1000, int(0.1 / run(3)) + 1))
    return sorted(run(steps) for _ in range(ROUNDS))[ROUNDS // 2]


for precision in ("f32", "tf32", "bf16"):
    for sizes, batch in CASES:
        seconds = measure(sizes, batch, precision)
        operations = 2 * batch * sizes[1] * (2 * sizes[0] + 3 * sizes[2])
        name = "-".join(map(str, sizes))
        print(f"torch {precision:<6} {name:>18} {batch:>7} {1e3 * seconds:>12.3f} ms {operations / seconds / 1e12:>10.3f} TFLOP/s")
