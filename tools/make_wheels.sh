#!/usr/bin/env bash
# Writes to dist/ the source archive and, built of it, a wheel for each processor of ARCHS. Debian's
# compilers do: the extensions ask so little of libc that they run on systems as old as glibc 2.17,
# manylinux2014. auditwheel looks at what they ask for, and names the wheels accordingly.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(command -v "${PYTHON:-python3}")
archs=${ARCHS:-x86_64 aarch64}
work=$PWD/build/wheels
export PIP_DISABLE_PIP_VERSION_CHECK=1

debian_name() {
    case $1 in
    aarch64) echo arm64 ;;
    x86_64) echo amd64 ;;
    *) echo "$1" ;;
    esac
}

for arch in $archs; do
    command -v "$arch-linux-gnu-gcc" >/dev/null || {
        echo "no compiler for $arch: apt install crossbuild-essential-$(debian_name "$arch")," \
            "or name the processors: make wheels ARCHS=$(uname -m)" >&2
        exit 1
    }
done
rm -rf dist "$work"
mkdir -p "$work"

# logged NAME COMMAND...: shows what the command printed only if it fails.
logged() {
    "${@:2}" >"$work/$1.log" 2>&1 || { cat "$work/$1.log" >&2; return 1; }
}

# Debian's Python.h includes settings from the folder of the processor compiled for. Those of this
# one do: the limited API asks only for sizes that all these processors share.
settings=$(ls -d "/usr/include/$(uname -m)-linux-gnu"/python3* 2>/dev/null || true)

# build ARCH: from the archive, in a folder of its own.
build() {
    local include=$work/include-$1
    mkdir -p "$include/$1-linux-gnu"
    [ -z "$settings" ] || cp -r $settings "$include/$1-linux-gnu"
    CC=$1-linux-gnu-gcc LDSHARED="$1-linux-gnu-gcc -shared" CFLAGS="-isystem $include" \
        "$python" -m pip wheel --no-deps --wheel-dir "$work/$1" \
        --config-settings=--build-option=--plat-name="linux_$1" dist/edgebert-*.tar.gz
    PATH=$(dirname "$python"):$PATH "$python" -m auditwheel repair --wheel-dir dist "$work/$1"/*.whl
    ls dist/*manylinux_2_17_"$1".whl
}

logged sdist "$python" -m build --sdist
builds=()
for arch in $archs; do
    logged "$arch" build "$arch" &
    builds+=($!)
done
for build in "${builds[@]}"; do
    wait "$build"
done
logged abi3audit "$python" -m abi3audit --strict dist/*.whl
ls -l dist
