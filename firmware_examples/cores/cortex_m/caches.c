/* Arm DDI 0403, B3.2 and B4.2. */
#include "caches.h"

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define CONFIGURATION REGISTER(0xe000ed14)
#define DATA_CACHE (1u << 16)
#define INSTRUCTION_CACHE (1u << 17)
#define CACHE_SIZE_ID REGISTER(0xe000ed80)
#define CACHE_SELECT REGISTER(0xe000ed84)
#define INVALIDATE_INSTRUCTIONS REGISTER(0xe000ef50)
#define INVALIDATE_DATA_BY_SET REGISTER(0xe000ef60)
#define SET_SHIFT 5  /* lines of 32 bytes */
#define WAY_SHIFT 30 /* four ways */

static void barrier(void) {
    __asm__ volatile("dsb\n isb" ::: "memory");
}

/* Resets leave any content in the caches. */
void caches_on(void) {
    CACHE_SELECT = 0; /* data, first level */
    barrier();
    const uint32_t size = CACHE_SIZE_ID, last_set = size >> 13 & 0x7fff, last_way = size >> 3 & 3;
    for (uint32_t set = 0; set <= last_set; set++)
        for (uint32_t way = 0; way <= last_way; way++)
            INVALIDATE_DATA_BY_SET = way << WAY_SHIFT | set << SET_SHIFT;
    INVALIDATE_INSTRUCTIONS = 0;
    barrier();
    CONFIGURATION |= DATA_CACHE | INSTRUCTION_CACHE;
    barrier();
}
