/* The system calls that change this process's page tables. Each returns NULL, or an error message. */
#ifndef PTMON_ADDRESS_SPACE_H
#define PTMON_ADDRESS_SPACE_H

#include <stdint.h>

#include "mapping.h"

/* Large pages: as the kernel likes, never, from the first touch on; or reserved ones (hugetlb) of 2 MiB or 1 GiB. */
enum page_size_wish { ANY_SIZE, SMALL_PAGES, HUGE_PAGES, HUGETLB_2M, HUGETLB_1G };

/* "what: why", from errno. */
const char *failure(const char *what);

/* Writes what a page is recognised by: its own address and the process that wrote it. */
void stamp(uint64_t va);

/* Each keeps the books in mapping.c and reports nothing. */
const char *map_pages(uint64_t va, uint64_t pages, enum page_size_wish wish, bool shared);
const char *unmap_pages(uint64_t va, uint64_t pages);
const char *protect_pages(uint64_t va, uint64_t pages, enum page_rights rights);
const char *move_pages_to(uint64_t va, uint64_t pages, uint64_t to);
const char *swap_out_pages(uint64_t va, uint64_t pages);
const char *collapse_pages(uint64_t va);
const char *split_page(uint64_t va);
const char *poison_pages(uint64_t va, uint64_t pages);
const char *mark_pages(uint64_t va, uint64_t pages);
const char *migrate_pages_to(uint64_t va, uint64_t pages, int node);

#endif
