#!/bin/sh
# The C library needs nothing, keeps nothing and is C++'s too. Arguments: a compiler, and all of the
# library in one object file.
set -eu
compiler=$1 library=$2
headers=../../csrc/include
nm=$($compiler -print-prog-name=nm) size=$($compiler -print-prog-name=size)
flags="-Wall -Wextra -Wpedantic -Werror -fsyntax-only -I$headers -I../../csrc"

fail() {
    echo "$library: $1:"
    echo "$2"
    exit 1
}

# What it takes from elsewhere: six functions, what compilers call or add unasked, and which sets
# a 64-bit Arm processor has, which Linux's C library alone can say.
allowed='mem(cpy|move|set|cmp)|strlen|sqrtf'
runtime='__(mem[a-z]+|stack)_chk(_fail)?|__cpu_(model|indicator_init)|__[a-z]+[ds][ifc][234]'
runtime="$runtime|getauxval|__cpu_features2|___chkstk_ms|__aeabi_[a-z0-9_]+|_GLOBAL_OFFSET_TABLE_"
needed=$("$nm" -u "$library" | grep -vE "^ *[Uw] ($allowed|$runtime)\$" || true)
[ -z "$needed" ] || fail "needs more than it says" "$needed"

state=$("$size" -A "$library" | awk '$1 ~ /^\.t?(data|bss)/ && $1 !~ /^\.data\.rel\.ro/ && $2 > 0')
common=$("$nm" "$library" | grep ' C ' || true)
[ -z "$state$common" ] || fail "has memory that can change" "$state$common"

names=$("$nm" -g --defined-only "$library" | grep -vE ' (eb_|\.refptr\.)[a-z0-9_]+$' || true)
[ -z "$names" ] || fail "exports names that do not begin with eb_" "$names"

# Nothing calls itself, by whatever way, so that the stack has an end: tsort would find a circle. Where
# the compiler told what calls what; through the table of kernels, none of which calls back, it cannot.
calls=$(cat "${library%/*}"/*.ci 2>/dev/null |
    sed -n 's/^edge: { sourcename: "\([^"]*\)" targetname: "\([^"]*\)".*/\1 \2/p')
circle=$(echo "$calls" | awk '$1 && $1 == $2'; echo "$calls" | tsort 2>&1 >/dev/null || true)
[ -z "$circle" ] || fail "has functions that call themselves" "$circle"

for header in $(cd ../../csrc && ls *.h include/*.h kernels/kernels.h); do
    echo "#include \"$header\"" | $compiler -std=c99 $flags -x c - ||
        fail "a header that needs others" "$header"
done
# gcc without g++ is no C++ compiler.
if echo | $compiler -x c++ -fsyntax-only - 2>/dev/null; then
    echo '#include "edgebert.h"
eb_status status = eb_arena_size(nullptr, 1, nullptr);' | $compiler -std=c++11 $flags -x c++ - ||
        fail "not C++" edgebert.h
fi
echo "needs nothing, keeps nothing"
