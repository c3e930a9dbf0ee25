/* From reset to main, on any core. */
#ifndef START_H
#define START_H

#include <stdint.h>

/* Ends of the stack, from link.ld. It lies at the start of the RAM: overflowing, it meets no data
 * but addresses that nothing answers to, and faults. */
extern uint32_t stack_limit[], stack_top[];

/* Where the core begins: each core's folder has one. */
void reset(void);

/* Fills the variables in, then runs main. The core's reset code comes here with a stack. */
void start(void) __attribute__((noreturn));

/* Says where the program failed, and ends it. */
void fault(uint32_t address) __attribute__((noreturn));

#endif
