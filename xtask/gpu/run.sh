#!/usr/bin/env bash
# Everything that is measured on a machine with a GPU, in five minutes at most, the most important first. Needs no network and no toolchain.
#
#   ./run.sh [DEVICE]        DEVICE is cuda (the default) or vulkan
#
# ZOR_DATA_DIR names the data sets' folder (by default data/ beside this script), RESULTS where results go (results/), MINUTES how long it may take (5).
# Each part leaves its output there as it ends, and a line in summary.txt; results.json has the numbers. Ends with 1 if a part failed.
set -uo pipefail
cd "$(dirname "$0")"

device="${1:-cuda}"
results="${RESULTS:-results}"
limit=$((${MINUTES:-5} * 60))
# Without data sets, clothing is learned from the images inside the command.
if [ -d data ]; then
    export ZOR_DATA_DIR="${ZOR_DATA_DIR:-$PWD/data}"
fi
mkdir -p "$results"
: >"$results/summary.txt"
failed=0
json=()

say() { echo "$*" | tee -a "$results/summary.txt"; }

# NAME SECONDS COMMAND...: runs a part. What it prints is kept in NAME.txt and NAME.err, how it ended is said.
part() {
    local name="$1" most="$2" left=$((limit - SECONDS)) start=$SECONDS code=0
    shift 2
    if [ "$left" -lt 5 ]; then
        say "$name: not run, the time is up"
        return 1
    fi
    [ "$left" -lt "$most" ] && most="$left"
    echo "== $name: $*"
    { timeout --kill-after=5 "$most" "$@" | tee "$results/$name.txt"; } 2>"$results/$name.err" || code=$?
    case "$code" in
        0) say "$name: done in $((SECONDS - start)) s" ;;
        124 | 137) say "$name: stopped after $most s; what it had printed is in $name.txt" ;;
        *)
            say "$name: FAILED with $code: $(grep -m 1 '^error: ...' "$results/$name.err" || tail -n 1 "$results/$name.err")"
            failed=1
            ;;
    esac
    return "$code"
}

# LIST CASE ROWS: the microseconds of a line "DEVICE CASE ROWS MILLISECONDS RATE".
microseconds() {
    local _device name rows ms _rate
    while read -r _device name rows ms _rate; do
        if [ "$name $rows" = "$2 $3" ]; then
            ms="${ms/./}"
            echo "$((10#$ms))"
            return
        fi
    done <"$1"
}

# PRECISION CASE ROWS: the kernels that one run of it launches.
launches() {
    local precision name rows launches _rest
    while IFS=$'\t' read -r precision name rows launches _rest; do
        [ "$precision $name $rows" = "$1 $2 $3" ] && echo "$launches"
    done <expected.tsv
}

# A B: how many times B is A, with two decimals.
times() { printf '%d.%02d' "$(($1 / $2))" "$(($1 * 100 / $2 % 100))"; }

# PRECISION: what was measured beside what was expected of an H200, and beside PyTorch.
compare() {
    local precision name rows expected measured torch line
    while IFS=$'\t' read -r precision name rows _launches _gflop _mb expected; do
        [ "$precision" = "$1" ] || continue
        measured="$(microseconds "$results/time-$1.txt" "$name" "$rows")"
        torch=""
        [ -f "$results/torch.txt" ] && torch="$(microseconds "$results/torch.txt" "$1:$name" "$rows")"
        [ "${measured:-0}" -gt 0 ] || continue
        line="$1 $name, batch $rows: $measured us, $(times "$measured" "$expected") times the $expected us expected of an H200"
        [ "${torch:-0}" -gt 0 ] && line="$line, $(times "$measured" "$torch") times PyTorch's $torch us"
        say "$line"
        json+=("{\"precision\": \"$1\", \"case\": \"$name\", \"batch\": $rows, \"us\": $measured, \"expected_us\": $expected, \"torch_us\": ${torch:-null}}")
    done <expected.tsv
}

# NAME: the JSON object that a training printed last.
trained() {
    local last
    last="$(tail -n 1 "$results/$1.txt")"
    case "$last" in "{"*"}") json+=("$last") ;; esac
}

# All numbers so far.
keep() {
    local separator=""
    {
        echo "{\"device\": \"$device\", \"card\": \"${card//\"/}\", \"results\": ["
        for one in "${json[@]}"; do
            printf '%s  %s' "$separator" "$one"
            separator=$',\n'
        done
        printf '\n]}\n'
    } >"$results/results.json"
}

if [ zor.gz -nt zor ]; then
    gzip -dc zor.gz >zor && chmod +x zor
fi
# Libraries of our own stand in only for those that the machine lacks.
if ! ./zor --version >/dev/null 2>&1; then
    export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$PWD/lib/c++"
fi
case "$(ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null)" in
    *libvulkan.so.1*) ;;
    *) export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$PWD/lib/vulkan" ;;
esac
# Some containers have the description of NVIDIA's Vulkan driver here alone.
if [ -f /usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json ]; then
    export VK_DRIVER_FILES="${VK_DRIVER_FILES:-/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json}"
fi
zor=(env CUDA_PATH="$PWD/cuda" ./zor)

card="no NVIDIA driver"
if command -v nvidia-smi >/dev/null; then
    card="$(nvidia-smi --query-gpu=name,driver_version,power.limit,clocks.max.sm --format=csv,noheader | head -n 1)"
fi
say "card: $card"
if ! part program 20 "${zor[@]}" --version; then
    say "the program does not start here; nothing can be measured"
    exit 1
fi

# Whether the device computes what the CPU does.
part verify-cuda 75 "${zor[@]}" devices --device cuda --verify
part verify-vulkan 45 "${zor[@]}" devices --device vulkan --verify
keep

# How long products and steps take, beside what was expected and beside PyTorch.
for precision in f32 tf32 bf16; do
    part "time-$precision" 30 "${zor[@]}" devices --device "$device" --time --precision "$precision"
done
if python3 -c 'import torch; torch.zeros(1, device="cuda")' 2>/dev/null; then
    part torch 75 python3 gpu_mlp.py
else
    say "torch: not measured, there is no PyTorch with CUDA here"
fi
for precision in f32 tf32 bf16; do
    [ -f "$results/time-$precision.txt" ] && compare "$precision"
done
keep

# How long trainings take and what they reach.
for task in fashion-reconstruction cifar-reconstruction; do
    part "$task" 40 "${zor[@]}" train "$task" --device "$device" --no-baseline --json --overwrite --out "$results/$task"
    trained "$task"
done
for precision in bf16 f32; do
    part "airbench-$precision" 90 "${zor[@]}" train cifar-classification --network airbench --device "$device" --precision "$precision" \
        --test-time-flip --test-time-shift --json --overwrite --out "$results/airbench-$precision"
    trained "airbench-$precision"
done
keep

# The time of each kernel of the last step, in order.
part kernels 20 env CUBECL_DEBUG_LOG="$results/kernels.log" CUBECL_DEBUG_OPTION=profile "${zor[@]}" \
    devices --device "$device" --time --network 3072-728-3072 --batch 512
if [ -f "$results/kernels.log" ]; then
    launches="$(launches f32 3072-728-3072 512)"
    grep '^| [0-9]' "$results/kernels.log" | tail -n "$launches" | cut -c 1-60 | tee "$results/kernels.txt"
fi
keep

say "$SECONDS s in all; numbers are in $results/results.json"
exit "$failed"
