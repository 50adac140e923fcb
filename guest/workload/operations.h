/* What the workload does to its own address space. Each returns NULL, or an error message. */
#ifndef PTMON_OPERATIONS_H
#define PTMON_OPERATIONS_H

#include <stdint.h>

#include "address-space.h"
#include "mapping.h"

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

#endif
