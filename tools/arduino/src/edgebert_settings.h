/* What other builds say by -D and an Arduino library must say in a file; each source includes it.
 */
#ifndef EDGEBERT_SETTINGS_H
#define EDGEBERT_SETTINGS_H

#if !defined(__SIZEOF_POINTER__) || __SIZEOF_POINTER__ < 4
#error "edgebert needs a board of 32 bits"
#endif

/* Models of integers alone: less code, and no floating-point unit needed. EB_LABELS_ONLY, defined
 * here too, would leave out the code for tags and for models without labels. */
#define EB_NO_F32

/* How much is computed at a time, tokens (a multiple of 4) and columns (of 16). */
#define EB_ROWS 4
#define EB_COLUMNS 64

#endif
