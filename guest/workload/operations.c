/* One operation each: look at the pages, change them, look again, report both. */
#define _GNU_SOURCE
#include "operations.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pagemap.h"
#include "report.h"

struct snapshot {
  uint64_t va, pages;
  page_state *before, *after;
};

static struct snapshot look(uint64_t va, uint64_t pages) {
  struct snapshot seen = {va, pages, malloc(pages * sizeof(page_state)), malloc(pages * sizeof(page_state))};
  if (!seen.before || !seen.after) abort();
  pagemap_read_range(va, pages, seen.before);
  return seen;
}

/* Reports what has changed since `look`, and frees the snapshot; where the operation failed it reports nothing. */
static const char *compare(const char *op, struct snapshot seen, const char *error) {
  if (!error) {
    pagemap_read_range(seen.va, seen.pages, seen.after);
    report_pages(op, seen.va, seen.pages, seen.before, seen.after);
  }
  free(seen.before);
  free(seen.after);
  return error;
}

static const char *const NOT_MAPPED = "these pages are not all mapped, or not with the rights that this needs";

const char *do_map(uint64_t va, uint64_t pages, enum page_size_wish wish, bool shared) {
  if (!mapping_free(va, pages)) return "something is mapped there";
  struct snapshot seen = look(va, pages);
  return compare("map", seen, map_pages(va, pages, wish, shared));
}

const char *do_touch(const char *op, uint64_t va, uint64_t pages) {
  if (!mapping_covers(va, pages, READ_WRITE)) return NOT_MAPPED;
  struct snapshot seen = look(va, pages);
  for (uint64_t i = 0; i < pages; i++) stamp(va + i * PAGE);
  return compare(op, seen, NULL);
}

const char *do_read(uint64_t va, uint64_t pages) {
  if (!mapping_covers(va, pages, READ_ONLY)) return NOT_MAPPED;
  struct snapshot seen = look(va, pages);
  for (uint64_t i = 0; i < pages; i++) (void)*(volatile uint8_t *)AT(va + i * PAGE);
  return compare("read", seen, NULL);
}

const char *do_look(uint64_t va, uint64_t pages) { return compare("look", look(va, pages), NULL); }

const char *do_unmap(uint64_t va, uint64_t pages) {
  if (!mapping_covers(va, pages, NO_ACCESS)) return NOT_MAPPED;
  struct snapshot seen = look(va, pages);
  return compare("unmap", seen, unmap_pages(va, pages));
}

const char *do_dontneed(uint64_t va, uint64_t pages) {
  if (!mapping_covers(va, pages, NO_ACCESS)) return NOT_MAPPED;
  struct snapshot seen = look(va, pages);
  return compare("dontneed", seen,
                 madvise(AT(va), pages * PAGE, MADV_DONTNEED) != 0 ? failure("MADV_DONTNEED") : NULL);
}

const char *do_protect(uint64_t va, uint64_t pages, enum page_rights rights) {
  if (!mapping_covers(va, pages, NO_ACCESS)) return NOT_MAPPED;
  struct snapshot seen = look(va, pages);
  return compare("mprotect", seen, protect_pages(va, pages, rights));
}

const char *do_move(uint64_t va, uint64_t pages, uint64_t to) {
  if (!mapping_covers(va, pages, NO_ACCESS)) return NOT_MAPPED;
  if (!mapping_free(to, pages)) return "something is mapped there";
  struct snapshot source = look(va, pages), target = look(to, pages);
  const char *error = move_pages_to(va, pages, to);
  compare("mremap", source, error);
  return compare("mremap", target, error);
}

const char *do_swap_out(uint64_t va, uint64_t pages) {
  if (!mapping_covers(va, pages, READ_ONLY)) return NOT_MAPPED;
  struct snapshot seen = look(va, pages);
  return compare("swapout", seen, swap_out_pages(va, pages));
}

const char *do_poison(uint64_t va, uint64_t pages) {
  if (!mapping_covers(va, pages, READ_ONLY)) return NOT_MAPPED;
  struct snapshot seen = look(va, pages);
  return compare("poison", seen, poison_pages(va, pages));
}

const char *do_mark(uint64_t va, uint64_t pages) {
  if (!mapping_covers(va, pages, READ_WRITE)) return NOT_MAPPED;
  struct snapshot seen = look(va, pages);
  return compare("mark", seen, mark_pages(va, pages));
}

const char *do_migrate(uint64_t va, uint64_t pages, int node) {
  if (!mapping_covers(va, pages, READ_ONLY)) return NOT_MAPPED;
  struct snapshot seen = look(va, pages);
  return compare("migrate", seen, migrate_pages_to(va, pages, node));
}

/* What huge pages map around va now, so that a reader sees whether the kernel did what was asked. */
static const char *with_huge_bytes(const char *op, uint64_t va, const char *error) {
  if (error) return error;
  line_begin(op);
  line_number("pid", (uint64_t)getpid());
  line_hex("mapping", va);
  line_number("hugeBytes", huge_bytes(va));
  line_end();
  return NULL;
}

const char *do_collapse(uint64_t va) {
  if (va % HUGE_PAGE != 0) return "a huge page begins at a multiple of 2 MiB";
  if (!mapping_covers(va, HUGE_PAGE / PAGE, READ_WRITE)) return NOT_MAPPED;
  struct snapshot seen = look(va, HUGE_PAGE / PAGE);
  return with_huge_bytes("collapse", va, compare("collapse", seen, collapse_pages(va)));
}

const char *do_split(uint64_t va) {
  uint64_t start = va / HUGE_PAGE * HUGE_PAGE;
  if (!mapping_covers(start, HUGE_PAGE / PAGE, READ_WRITE)) return NOT_MAPPED;
  struct snapshot seen = look(start, HUGE_PAGE / PAGE);
  const char *error = compare("split", seen, split_page(va));
  /* Else khugepaged might put together again what was just taken apart. */
  if (!error && madvise(AT(start), HUGE_PAGE, MADV_NOHUGEPAGE) != 0) error = failure("MADV_NOHUGEPAGE");
  return with_huge_bytes("split", va, error);
}
