/* See string.h. */
float sqrtf(float x);
