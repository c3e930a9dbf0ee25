/* First-level caches of the Cortex-M7. */
#ifndef CACHES_H
#define CACHES_H

/* Empties both caches, and turns them on. */
void caches_on(void);

#endif
