#!/bin/sh
# Makes the environments of packages that do not go together with the newest, for Python 3.11:
# build/venv-oldest has the oldest that are supported, build/venv-micro TensorFlow Lite Micro.
# Tests that need one are skipped where it is not (tests/environments.py).
set -eu
cd "$(dirname "$0")/.."

for python in "${PYTHON:-python3}" python3.11 ""; do
    if [ -z "$python" ]; then
        echo "left out: tflite-runtime and TensorFlow Lite Micro, which need Python 3.11"
        exit
    fi
    if "$python" -c 'import ensurepip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null
    then
        break
    fi
done

# make_one NAME: runs in the new environment what follows on standard input, unless it did already.
make_one() {
    folder=build/venv-$1
    commands=$(cat)
    if [ "$(cat "$folder/commands" 2>/dev/null)" != "$commands" ]; then
        rm -rf "$folder"
        "$python" -m venv "$folder"
        PATH="$folder/bin:$PATH" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_QUIET=1 \
            sh -euc "$commands"
        echo "$commands" >"$folder/commands"
    fi
}

# ONNX Runtime comes without what only its tools need.
make_one oldest <<'END'
pip install cffi flatbuffers hypothesis numpy==1.26.0 onnx pytest tflite tflite-runtime==2.14.0
pip install --no-deps onnxruntime==1.17.0
END
make_one micro <<'END'
pip install --pre cffi tflite-micro
END
