/* What newlib lacks on an emulated Cortex-M: the reset, a heap, and aligned memory. */
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>

#define COPROCESSOR_ACCESS (*(volatile uint32_t *)0xe000ed88)

extern uint32_t __stack[];
void _start(void);
int posix_memalign(void **memory, size_t alignment, size_t size);
void *_sbrk(ptrdiff_t size);

void *_sbrk(ptrdiff_t size) {
    static char heap[1 << 22];
    static ptrdiff_t used;
    if (size > (ptrdiff_t)sizeof heap - used)
        return (void *)-1;
    used += size;
    return heap + used - size;
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    *memory = memalign(alignment, size);
    return *memory == NULL;
}

static void reset(void) {
#if defined(__ARM_FEATURE_MVE)
    COPROCESSOR_ACCESS |= 15u << 20;
    __asm__ volatile("dsb\n isb" ::: "memory");
#endif
    _start();
}

typedef void (*vector)(void);
__attribute__((section(".vectors"), used)) static const vector vectors[] = {(vector)__stack, reset};
