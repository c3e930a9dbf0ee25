/* Reset and traps of a 32-bit RISC-V in machine mode. */
#include "start.h"

/* Aligned for cores on which the address in mtvec is a table's, of which this is the first entry.
 */
__attribute__((used, aligned(256))) static void trap(void) {
    uint32_t address;
    __asm__ volatile(".option arch, +zicsr\n csrr %0, mepc" : "=r"(address));
    fault(address);
}

/* First in the image. */
__attribute__((naked, section(".vectors"), used)) void reset(void) {
    __asm__(
        ".option push\n .option norelax\n la gp, __global_pointer$\n .option pop\n"
        "la sp, stack_top\n"
        ".option arch, +zicsr\n csrci mstatus, 8\n" /* no interrupts, should a ROM have left them */
        "la t0, trap\n csrw mtvec, t0\n"
        "j start");
}
