#ifndef STUB_MICRO_LOG_H
#define STUB_MICRO_LOG_H

#include <stdio.h>

#define MicroPrintf(...) (void)(printf(__VA_ARGS__), putchar('\n'))

#endif
