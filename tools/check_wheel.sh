#!/usr/bin/env bash
# The one wheel in dist/ is small, and answers in an environment that holds nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
wheel=$(ls dist/*.whl)
bytes=$(stat -c %s "$wheel")
if [ "$bytes" -ge 2000000 ]; then
    echo "$wheel has $bytes bytes; the limit is 2,000,000" >&2
    exit 1
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$wheel"
cd "$folder"
venv/bin/edgebert infer "a gripping film with a wonderful cast"
venv/bin/edgebert models
for name in $(venv/bin/edgebert models --names); do
    case $name in
    sentence) venv/bin/python -c 'import edgebert; print(len(edgebert.load("sentence").encode("a text")))' ;;
    *) venv/bin/edgebert infer -m "$name" "turn the lights off in the kitchen" ;;
    esac
    venv/bin/edgebert inspect "$name" --json >/dev/null
done
echo "$(basename "$wheel"): $bytes bytes, runs alone"
