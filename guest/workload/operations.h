/* What the workload does to its own address space. Each answers NULL, or what went wrong in words. */
#ifndef PTMON_OPERATIONS_H
#define PTMON_OPERATIONS_H

#include <stdint.h>

#include "mapping.h"

/* Large pages: as the kernel likes, from the first touch on, or never. */
enum page_size_wish { ANY_SIZE, SMALL_PAGES, HUGE_PAGES };

/* "what: why", from errno. */
const char *failure(const char *what);

/* Writes what a page is recognised by: its own address and the process that wrote it. */
void stamp(uint64_t va);

const char *do_map(uint64_t va, uint64_t pages, enum page_size_wish wish, bool shared);
const char *do_touch(const char *op, uint64_t va, uint64_t pages);
const char *do_read(uint64_t va, uint64_t pages);
const char *do_look(uint64_t va, uint64_t pages);
const char *do_unmap(uint64_t va, uint64_t pages);
const char *do_dontneed(uint64_t va, uint64_t pages);
const char *do_protect(uint64_t va, uint64_t pages, enum page_rights rights);
const char *do_move(uint64_t va, uint64_t pages, uint64_t to);
const char *do_swap_out(uint64_t va, uint64_t pages);
const char *do_collapse(uint64_t va);
const char *do_split(uint64_t va);

/* The system calls behind them, which keep the books and report nothing. */
const char *map_pages(uint64_t va, uint64_t pages, enum page_size_wish wish, bool shared);
const char *unmap_pages(uint64_t va, uint64_t pages);
const char *protect_pages(uint64_t va, uint64_t pages, enum page_rights rights);
const char *move_pages_to(uint64_t va, uint64_t pages, uint64_t to);
const char *swap_out_pages(uint64_t va, uint64_t pages);
const char *collapse_pages(uint64_t va);
const char *split_page(uint64_t va);

#endif
