/* What the workload does to its own address space. Each returns NULL, or an error message. */
#ifndef PTMON_OPERATIONS_H
#define PTMON_OPERATIONS_H

#include <stdint.h>

#include "mapping.h"

/* Large pages: as the kernel likes, never, from the first touch on; or reserved ones (hugetlb) of 2 MiB or 1 GiB. */
enum page_size_wish { ANY_SIZE, SMALL_PAGES, HUGE_PAGES, HUGETLB_2M, HUGETLB_1G };

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
/* Tells the kernel that the memory is broken (MADV_HWPOISON). */
const char *do_poison(uint64_t va, uint64_t pages);
/* Write-protects pages that are not there yet (userfaultfd): the kernel notes it in their entries. */
const char *do_mark(uint64_t va, uint64_t pages);
/* Moves pages to another node (move_pages). */
const char *do_migrate(uint64_t va, uint64_t pages, int node);

/* The system calls behind them, which keep the books and report nothing. */
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
