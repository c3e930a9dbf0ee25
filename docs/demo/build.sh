#!/usr/bin/env bash
# Builds the page into build/demo/ (README.md): docs/demo/build.sh MODEL.onnx
# CLANG names another compiler than clang, OUT another folder.
set -euo pipefail
model=$(realpath "${1:?usage: docs/demo/build.sh MODEL.onnx}")
cd "$(dirname "$0")/../.."
runtime=build/node_modules/onnxruntime-web/dist
out=${OUT:-build/demo}

fail() {
    echo "needs $1" >&2
    exit 1
}
[ -d "$runtime" ] || fail "onnxruntime-web: npm install --prefix build onnxruntime-web"
wasm=("${CLANG:-clang}" --target=wasm32 -nostdlib -Wl,--no-entry)
"${wasm[@]}" -x c /dev/null -o /dev/null 2>/dev/null || fail "clang with lld: apt install clang lld"

mkdir -p "$out"
"${wasm[@]}" -std=c99 -O2 -ffreestanding -Wall -Wextra -Wconversion -Wshadow -Werror \
    -Idocs/demo/include -Icsrc/include -Icsrc -Wl,--strip-all,--stack-first \
    docs/demo/tokenizer.c csrc/tokenizer.c csrc/sequence.c csrc/vocabulary.c csrc/unicode.c \
    -o "$out/tokenizer.wasm"
cp docs/demo/index.html docs/demo/*.mjs "$out/"
cp "$runtime/ort.wasm.bundle.min.mjs" "$runtime/ort-wasm-simd-threaded.wasm" "$out/"
cp "$model" "$out/model.onnx"
