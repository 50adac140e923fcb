/* What the kernel says is behind an address of this process (Documentation/admin-guide/mm/pagemap.rst). */
#ifndef PTMON_PAGEMAP_H
#define PTMON_PAGEMAP_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE 4096ul
#define HUGE_PAGE 0x200000ul

/* The pointer for an address, which is a number of 64 bits everywhere here. */
#define AT(va) ((void *)(uintptr_t)(va))

/* One entry of /proc/self/pagemap. */
typedef uint64_t page_state;

/* Opens this process's own pagemap; again after a fork, since an open file keeps showing the process that opened it. */
void pagemap_open(void);
/* The entry of one page; 0 where the file cannot be read. */
page_state pagemap_read(uint64_t va);
void pagemap_read_range(uint64_t va, uint64_t pages, page_state *states);

/* The kernel calls a page present that it has made inaccessible with PROT_NONE; the processor does not. */
static inline bool state_present(page_state state) { return state >> 63; }
static inline bool state_swapped(page_state state) { return !state_present(state) && (state >> 62 & 1); }
static inline uint64_t state_pfn(page_state state) { return state & ((1ull << 55) - 1); }
static inline uint64_t state_swap_type(page_state state) { return state & 31; }
static inline uint64_t state_swap_offset(page_state state) { return (state & ((1ull << 55) - 1)) >> 5; }

/* Bytes of the mapping around va that huge pages map, from /proc/self/smaps. */
uint64_t huge_bytes(uint64_t va);

/* One line per run of pages whose frames follow each other both before and after. */
void report_pages(const char *op, uint64_t va, uint64_t pages, const page_state *before, const page_state *after);

#endif
