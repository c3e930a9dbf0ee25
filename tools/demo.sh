#!/usr/bin/env bash
# What `make demo` shows: a trained checkpoint becomes three files, and all give the same answers; in
# integers it becomes firmware, which answers in an emulator.
set -euo pipefail
cd "$(dirname "$0")/.."
edgebert=${1:-edgebert}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

texts=(
    "a gripping film with a wonderful cast"
    "the plot is thin and the jokes fall flat"
    "a warm , funny and moving story"
    "i want those two hours of my life back"
)

# Prints a command as one would type it, then runs it.
run() {
    printf '\n$ edgebert'
    for word in "$@"; do
        case $word in *' '*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    printf '\n'
    "$edgebert" "$@"
}

run export models/uno-sst2.pt -o out --to onnx,tflite,ebm
for suffix in onnx tflite ebm; do
    run infer -m "out/uno-sst2.$suffix" "${texts[@]}" | tee "$out/$suffix.tsv"
    grep -v '^$' "$out/$suffix.tsv" | tail -n ${#texts[@]} >"$out/$suffix.answers"
done
for suffix in onnx tflite; do
    if ! diff "$out/$suffix.answers" "$out/ebm.answers"; then
        printf '\nThe engines disagree: this is a bug.\n' >&2
        exit 1
    fi
done
printf '\nONNX Runtime, LiteRT and the C runtime give the same answers.\n'
run eval out/uno-sst2.onnx out/uno-sst2.tflite out/uno-sst2.ebm --data tests/data/sst2_dev_head.tsv
run inspect out/uno-sst2.ebm

# The compiler and the emulator: installed where that needs no asking, else named.
missing=()
command -v arm-none-eabi-gcc >/dev/null || missing+=(gcc-arm-none-eabi)
command -v qemu-system-arm >/dev/null || missing+=(qemu-system-arm)
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    printf '\nInstalling %s ...\n' "${missing[*]}"
    if { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends "${missing[@]}"; } >"$out/apt.log" 2>&1; then
        missing=()
    else
        tail -n 3 "$out/apt.log" >&2
    fi
fi
if [ ${#missing[@]} -gt 0 ]; then
    printf '\nTo see it run on an emulated Cortex-M4 too: apt install %s\n' "${missing[*]}"
    exit 0
fi
run export models/uno-sst2.pt -o out --to ebm --dtype i8
printf '\n%s' '$ printf "%s\n" "a gripping film ..." | edgebert firmware run --board mps2-an386 -m out/uno-sst2-i8.ebm'
printf '\n'
printf '%s\n' "${texts[@]}" | "$edgebert" firmware run --board mps2-an386 -m out/uno-sst2-i8.ebm |
    tee "$out/firmware.txt"
# Each text is answered by a line of label, score and cycles.
tr -d '\r' <"$out/firmware.txt" | awk '/^(negative|positive) /{print $1}' >"$out/c"
if diff <(awk '{print $1}' "$out/ebm.answers") "$out/c"; then
    printf '\nThe firmware on an emulated Cortex-M4 gives the same labels. Its cycles are instructions.\n'
else
    printf '\nThe firmware disagrees: this is a bug.\n' >&2
    exit 1
fi
