/* What the sample takes of Zephyr's <zephyr/kernel.h>, on a host. */
#include <stdio.h>

#define __aligned(size) __attribute__((aligned(size)))
#define printk printf
