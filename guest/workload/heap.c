#define _GNU_SOURCE
#include "heap.h"

#include <stdlib.h>
#include <unistd.h>

#include "operations.h"
#include "pagemap.h"
#include "report.h"

static uint64_t grown_from, grown_pages;

static void report_heap(const char *op, page_state *before) {
  page_state *after = before + grown_pages;
  pagemap_read_range(grown_from, grown_pages, after);
  report_pages(op, grown_from, grown_pages, before, after);
  free(before);
}

/* Room for the states before and after, from malloc, which may move the break itself: so before anything else. */
static page_state *states(uint64_t pages) {
  page_state *before = malloc(2 * pages * sizeof *before);
  if (!before) abort();
  return before;
}

const char *do_heap_grow(uint64_t pages) {
  page_state *before = states(pages);
  uint64_t end = (uintptr_t)sbrk(0), start = (end + PAGE - 1) / PAGE * PAGE;
  if (sbrk((intptr_t)(start - end + pages * PAGE)) == (void *)-1) {
    free(before);
    return failure("sbrk");
  }
  grown_from = start;
  grown_pages = pages;
  pagemap_read_range(start, pages, before);
  for (uint64_t i = 0; i < pages; i++) stamp(start + i * PAGE);
  report_heap("heap", before);
  return NULL;
}

const char *do_heap_shrink(void) {
  if (!grown_pages) return "the heap has not grown";
  page_state *before = states(grown_pages);
  if ((uintptr_t)sbrk(0) != grown_from + grown_pages * PAGE) {
    free(before);
    return "the heap has grown further meanwhile";
  }
  pagemap_read_range(grown_from, grown_pages, before);
  if (sbrk(-(intptr_t)(grown_pages * PAGE)) == (void *)-1) return failure("sbrk");
  report_heap("heap", before);
  grown_pages = 0;
  return NULL;
}
