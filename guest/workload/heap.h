/* The heap that the program break bounds, where malloc does not expect it to be played with: each returns NULL or an error message. */
#ifndef PTMON_HEAP_H
#define PTMON_HEAP_H

#include <stdint.h>

/* Moves the break up by so many pages, touches them one by one, and reports them. */
const char *do_heap_grow(uint64_t pages);
/* Moves it back to where the last `do_heap_grow` found it. */
const char *do_heap_shrink(void);

#endif
