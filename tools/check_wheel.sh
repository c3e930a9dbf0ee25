#!/usr/bin/env bash
# What `make wheels` wrote to dist/ is small and answers where nothing else is installed: the wheel of
# this machine in each Python found here, with the oldest NumPy and cffi and with the newest; the source
# archive, built by Clang; a wheel of another processor in Debian's Python for it, under qemu-user.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath -s "$(command -v "${PYTHON:-python3}")")
dist=$PWD/dist
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_QUIET=2

fail() {
    echo "$1" >&2
    return 1
}

# answers WHAT COMMAND...: which is the program edgebert.
answers() {
    local answer
    answer=$("${@:2}" infer "a gripping film with a wonderful cast") || return 1
    [[ $answer == positive* ]] || fail "$1: answered '$answer'"
    echo "$1: $answer"
}

# install ENVIRONMENT PACKAGE...
install() {
    "$python" -m pip --python "$folder/$1" install "${@:2}"
}

# in_python VERSION PYTHON
in_python() {
    local oldest="numpy==1.26.0" packages
    [ "$1" != 3.13 ] || oldest="numpy==2.1.0" # the first with a wheel for it
    "$2" -m venv --without-pip "$folder/$1"
    for packages in "$oldest cffi==1.17.0" "--upgrade numpy cffi"; do
        # shellcheck disable=SC2086
        install "$1" --only-binary :all: $packages "$own_wheel"
        packages=$("$folder/$1/bin/python" -c \
            'import cffi, numpy; print("NumPy", numpy.__version__ + ", cffi", cffi.__version__)')
        answers "Python $1, $packages" "$folder/$1/bin/edgebert"
    done
}

in_each_python() {
    local candidate version seen=
    for candidate in "$python" python3.1{0,1,2,3} "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[0-3].*/bin/python3; do
        version=$("$candidate" -c 'import sys, venv; print("3.%d" % sys.version_info[1])' 2>/dev/null) || continue
        [[ " $seen " != *" $version "* ]] || continue
        seen="$seen $version"
        in_python "$version" "$candidate"
    done
}

all_models() {
    local program=$folder/models/bin/edgebert name
    "$python" -m venv --without-pip "$folder/models"
    install models "$own_wheel"
    cd "$folder"
    "$program" models
    for name in $("$program" models --names); do
        case $name in
        sentence) models/bin/python -c 'import edgebert; print(len(edgebert.load("sentence").encode("a text")))' ;;
        *) "$program" infer -m "$name" "turn the lights off in the kitchen" ;;
        esac
        "$program" inspect "$name" --json >/dev/null
    done
}

source_archive() {
    command -v clang >/dev/null || { echo "source archive: not tried with Clang, which is not installed"; return; }
    "$python" -m venv --without-pip "$folder/clang"
    CC=clang install clang "$dist"/edgebert-*.tar.gz
    answers "source archive, built by Clang" "$folder/clang/bin/edgebert"
}

# under_qemu ARCH WHEEL: Debian's packages and PyPI's, unpacked for that processor.
under_qemu() {
    local root=$folder/$1 debian version
    command -v "qemu-$1" apt-get >/dev/null || { echo "$1: not tried without Debian's qemu-user"; return; }
    debian=${1/aarch64/arm64}
    debian=${debian/x86_64/amd64}
    mkdir -p "$root/lists/partial"
    cat >"$root/apt.conf" <<CONFIGURATION
APT { Architecture "$debian"; Architectures { "$debian"; }; Sandbox::User "root"; };
Dir { State::Lists "$root/lists"; State::status "/dev/null"; Cache "$root"; };
CONFIGURATION
    export APT_CONFIG=$root/apt.conf
    cd "$root"
    apt-get -qq update
    version=$(apt-cache depends python3-minimal | sed -n 's/.* python\(3\.[0-9]*\)-minimal/\1/p' | head -n 1)
    apt-get -qq download libc6 libgcc-s1 libexpat1 libffi8 zlib1g \
        "python$version-minimal" "libpython$version-minimal" "libpython$version-stdlib"
    for package in *.deb; do
        dpkg -x "$package" .
    done
    "$python" -m pip install --platform "manylinux2014_$1" --python-version "$version" --only-binary :all: \
        --target site "$2"
    PYTHONPATH=$root/site answers "$1, Debian's Python $version under qemu-$1" \
        "qemu-$1" -L . "usr/bin/python$version" -m edgebert
}

for wheel in "$dist"/*.whl; do
    bytes=$(stat -c %s "$wheel")
    [ "$bytes" -lt 2000000 ] || fail "$wheel has $bytes bytes; the limit is 2,000,000"
    echo "$(basename "$wheel"): $bytes bytes"
done
own_wheel=$(ls "$dist"/*manylinux*_"$(uname -m)".whl)

# begin NAME COMMAND...: all at a time; what they print follows in order.
checks=()
begin() {
    "${@:2}" >"$folder/$1.log" 2>&1 &
    checks+=("$1:$!")
}
begin source source_archive
begin pythons in_each_python
begin models all_models
for wheel in "$dist"/*.whl; do
    arch=$(basename "$wheel" .whl)
    arch=${arch##*manylinux_2_17_}
    [ "$arch" = "$(uname -m)" ] || begin "$arch" under_qemu "$arch" "$wheel"
done
for check in "${checks[@]}"; do
    status=0
    wait "${check#*:}" || status=$?
    cat "$folder/${check%:*}.log"
    [ "$status" = 0 ] || fail "failed: ${check%:*}"
done
