#!/usr/bin/env bash
# All that is measured on a machine with a GPU. Needs neither a network nor a toolchain: ./run.sh [DEVICE], cuda if not said.
# What it prints is kept in results/; it ends with 1 if something failed, after everything ran.
set -uo pipefail
cd "$(dirname "$0")"
device="${1:-cuda}"
results="${RESULTS:-results}"
mkdir -p "$results"
export ZOR_DATA_DIR="${ZOR_DATA_DIR:-$PWD/data}"
failed=0

step() { # NAME COMMAND...: runs it and keeps what it prints.
    local name="$1"
    shift
    echo "== $name: $*"
    "$@" 2>"$results/$name.err" | tee "$results/$name.txt" || { failed=1; echo "== $name FAILED"; tail -n 5 "$results/$name.err"; }
}

command -v nvidia-smi >/dev/null && step card nvidia-smi
step verify ./zor devices --verify
for precision in f32 tf32 bf16; do
    step "time-$precision" ./zor devices --time --precision "$precision"
done
for task in fashion-reconstruction cifar-reconstruction; do
    for one in flex "$device"; do
        step "$task-$one" ./zor train "$task" --device "$one" --no-baseline --json --out "$results/$task-$one"
    done
done
for precision in f32 tf32 bf16; do
    step "airbench-$precision" ./zor train cifar-classification --model airbench --device "$device" \
        --precision "$precision" --test-time-flip --test-time-shift --json --out "$results/airbench-$precision"
done
if python3 -c 'import torch' 2>/dev/null; then
    step torch python3 gpu_mlp.py
else
    echo "== torch: not installed, not measured"
fi
exit "$failed"
