#!/bin/sh
# Static analysis of the C library.
cd "$(dirname "$0")/.." || exit 1
exec cppcheck --quiet --error-exitcode=1 --std=c99 --enable=warning,performance,portability \
    --suppressions-list=tests/c/cppcheck.txt --suppress=toomanyconfigs -Icsrc/include -Icsrc \
    csrc/*.c csrc/kernels/*.c
