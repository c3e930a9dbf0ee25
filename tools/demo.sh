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
    "not a bad way to spend an evening"
    "i want those two hours of my life back"
)

say() { printf '\n\033[1m$ edgebert %s\033[0m\n' "$*"; }
run() {
    say "$@"
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
run inspect out/uno-sst2.ebm
