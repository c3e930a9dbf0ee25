#!/bin/sh
# Tests of the Python extension, built under sanitizers: what reads files and text under
# AddressSanitizer and UndefinedBehaviorSanitizer, many threads with one model under ThreadSanitizer.
# Arguments: a Python with the tests' packages; address or thread. The package, with links to its files
# beside the extension, is build/address/edgebert or build/thread/edgebert.
set -eu
cd "$(dirname "$0")/.."
case $1 in */*) python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1") ;; *) python=$1 ;; esac
root=$PWD
place=$root/build/$2

case $2 in
address)
    flags="-fsanitize=address,undefined -fno-sanitize-recover=all"
    name=libasan.so
    fixed=
    # All the data would take minutes, and the tokenizer's own tests and fuzzers are in C.
    set -- tests/test_entities.py tests/test_ebm.py tests/test_vocabulary.py tests/test_tokenizer.py \
        -k "not every_line_of_the_data"
    ;;
thread)
    flags=-fsanitize=thread
    name=libtsan.so
    # ThreadSanitizer has its own plan of the addresses, which Linux may draw others than.
    fixed="setarch -R"
    # Its own threads alone: a child that fork made of a process with threads is none of its business.
    set -- tests/test_threads.py -k "native and not fork"
    ;;
esac

library=$(cc -print-file-name="$name")
case $library in
/*) ;;
*) echo "not tested: cc has no $name to load into Python" && exit ;;
esac
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
ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD=$library exec $fixed "$python" -m pytest -q -p no:cacheprovider "$@"
