/* The memory that commands may use: what they have mapped, page by page, with the rights it has now. */
#ifndef PTMON_MAPPING_H
#define PTMON_MAPPING_H

#include <stdbool.h>
#include <stdint.h>

enum page_rights { HOLE, NO_ACCESS, READ_ONLY, READ_WRITE };

/* Where the next mapping goes by default: known beforehand, so that a watch can start first. */
#ifdef __x86_64__
#define FIRST_VA 0x100000000000ull
#else
#define FIRST_VA 0x40000000ull
#endif
/* The next free place for so many pages; places begin at 2 MiB and never share a page table. */
uint64_t mapping_next(uint64_t pages);

enum page_rights mapping_rights(uint64_t va);
/* Whether the processor may translate it: mapped, and not made inaccessible. */
bool mapping_accessible(uint64_t va);
/* Whether all pages have at least these rights. */
bool mapping_covers(uint64_t va, uint64_t pages, enum page_rights least);
/* Whether no page of it is mapped by a command. */
bool mapping_free(uint64_t va, uint64_t pages);
void mapping_set(uint64_t va, uint64_t pages, enum page_rights rights);

#endif
