/* How deep the stack has been. */
#ifndef STACK_H
#define STACK_H

#include <stdint.h>

/* Fills what is unused of the stack with a pattern ... */
void stack_paint(void);

/* ... and says how many bytes no longer have it. */
uint32_t stack_peak(void);
uint32_t stack_size(void);

#endif
