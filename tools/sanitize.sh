#!/bin/sh
# Tests of the Python extension, built under sanitizers: what reads files and text under
# AddressSanitizer and UndefinedBehaviorSanitizer, many threads with one model under ThreadSanitizer.
# Argument: a Python with the tests' packages. The package, with links to its files beside the
# extension, is build/address/edgebert or build/thread/edgebert.
set -eu
cd "$(dirname "$0")/.."
case $1 in */*) python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1") ;; *) python=$1 ;; esac
root=$PWD

# under KIND FLAGS LIBRARY PYTEST'S ARGUMENTS...
under() {
    place=$root/build/$1
    flags=$2
    library=$(cc -print-file-name="$3")
    case $library in
    /*) ;;
    *) echo "not tested: cc has no $3 to load into Python" && return ;;
    esac
    # ThreadSanitizer has its own plan of the addresses, which Linux may draw others than.
    fixed=$([ "$1" != thread ] || echo setarch -R)
    shift 3
    mkdir -p "$place/edgebert"
    CFLAGS="$flags" LDFLAGS="$flags" \
        "$python" setup.py -q build_ext --build-lib "$place" --build-temp "$place/objects"
    for path in *; do
        case $path in build | edgebert) ;; *) ln -sfn "$root/$path" "$place/$path" ;; esac
    done
    for path in edgebert/*; do
        case $path in *.so) ;; *) ln -sfn "$root/$path" "$place/$path" ;; esac
    done
    ln -sfn "$root/export" "$place/edgebert/export"
    cd "$place"
    "$python" -c "import edgebert._native as n; assert '$place/' in n.__file__, n.__file__" 2>/dev/null &&
        echo "the extension is not under a sanitizer: it was imported without $library" && exit 1
    # Python does not free all that it has at its end.
    ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD=$library \
        $fixed "$python" -m pytest -q -p no:cacheprovider "$@"
    cd "$root"
}

under address "-fsanitize=address,undefined -fno-sanitize-recover=all" libasan.so \
    tests/test_entities.py tests/test_ebm.py tests/test_vocabulary.py tests/test_tokenizer.py
# Its own threads alone: a child that fork made of a process with threads is none of ThreadSanitizer's.
under thread "-fsanitize=thread" libtsan.so tests/test_threads.py -k "native and not fork"
