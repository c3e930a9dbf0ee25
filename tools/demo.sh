#!/usr/bin/env bash
# What `make demo` shows: a trained checkpoint becomes two files, and both give the same answers.
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

run export models/uno-sst2.pt -o out --to onnx,ebm
for suffix in onnx ebm; do
    run infer -m "out/uno-sst2.$suffix" "${texts[@]}" | tee "$out/$suffix.tsv"
done
grep -v '^$' "$out/onnx.tsv" | tail -n ${#texts[@]} >"$out/a"
grep -v '^$' "$out/ebm.tsv" | tail -n ${#texts[@]} >"$out/b"
if diff "$out/a" "$out/b"; then
    printf '\nONNX Runtime and the C runtime give the same answers.\n'
else
    printf '\nThe engines disagree: this is a bug.\n' >&2
    exit 1
fi
run eval out/uno-sst2.onnx out/uno-sst2.ebm --data tests/data/sst2_dev_head.tsv
run inspect out/uno-sst2.ebm
