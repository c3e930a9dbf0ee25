/* What newlib lacks on the board mps3-an547: the reset, a heap, and aligned memory. */
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>

#define COPROCESSOR_ACCESS (*(volatile uint32_t *)0xe000ed88)

extern uint32_t __stack[];
void _start(void);
int posix_memalign(void **memory, size_t alignment, size_t size);
void *_sbrk(ptrdiff_t size);

void *_sbrk(ptrdiff_t size) {
    static char heap[1 << 24];
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
    COPROCESSOR_ACCESS |= 15u << 20; /* Helium on */
    __asm__ volatile("dsb\n isb" ::: "memory");
    _start();
}

typedef void (*vector)(void);
__attribute__((section(".vectors"), used)) static const vector vectors[] = {(vector)__stack, reset};
