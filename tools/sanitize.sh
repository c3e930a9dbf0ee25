#!/bin/sh
# Tests of the Python extension, built under AddressSanitizer and UndefinedBehaviorSanitizer.
# Argument: a Python with the tests' packages. The package, with links to its files beside the
# extension, is build/sanitized/edgebert.
set -eu
cd "$(dirname "$0")/.."
case $1 in */*) python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1") ;; *) python=$1 ;; esac
place=build/sanitized
asan=$(cc -print-file-name=libasan.so)
case $asan in
/*) ;;
*) echo "not tested: cc has no libasan.so to load into Python" && exit 0 ;;
esac

mkdir -p $place/edgebert
CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all" \
    LDFLAGS="-fsanitize=address,undefined" \
    "$python" setup.py -q build_ext --build-lib $place --build-temp $place/objects
for path in *; do
    case $path in build | edgebert) ;; *) ln -sfn "$PWD/$path" "$place/$path" ;; esac
done
for path in edgebert/*; do
    case $path in *.so) ;; *) ln -sfn "$PWD/$path" "$place/$path" ;; esac
done
ln -sfn "$PWD/export" $place/edgebert/export

cd $place
"$python" -c 'import edgebert._native as n; assert "sanitized" in n.__file__, n.__file__' 2>/dev/null &&
    echo "the extension is not under AddressSanitizer: it was imported without it" && exit 1
# Python does not free all that it has at its end.
ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD=$asan "$python" -m pytest -q -p no:cacheprovider \
    tests/test_entities.py tests/test_ebm.py tests/test_vocabulary.py tests/test_tokenizer.py
