#include "pagemap.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mapping.h"
#include "report.h"

static int fd = -1;

void pagemap_open(void) {
  if (fd >= 0) close(fd);
  fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

void pagemap_read_range(uint64_t va, uint64_t pages, page_state *states) {
  size_t byte_length = pages * sizeof *states;
  ssize_t got = pread(fd, states, byte_length, (off_t)(va / PAGE * sizeof *states));
  size_t valid = got < 0 ? 0 : (size_t)got;
  if (valid < byte_length) memset((char *)states + valid, 0, byte_length - valid);
}

page_state pagemap_read(uint64_t va) {
  page_state state;
  pagemap_read_range(va, 1, &state);
  return state;
}

uint64_t huge_bytes(uint64_t va) {
  FILE *file = fopen("/proc/self/smaps", "re");
  if (!file) return 0;
  char text[512];
  bool here = false;
  uint64_t found = 0;
  while (fgets(text, sizeof text, file)) {
    unsigned long start, end, kib;
    if (sscanf(text, "%lx-%lx ", &start, &end) == 2) here = va >= start && va < end;
    else if (here && sscanf(text, "AnonHugePages: %lu kB", &kib) == 1) {
      found = kib * 1024;
      break;
    }
  }
  fclose(file);
  return found;
}

/* Whether `next` continues the run that `state` is in, `distance` pages on. */
static bool follows(page_state state, page_state next, uint64_t distance) {
  if (state_swapped(state) || state_swapped(next)) return false;
  if (state_present(state) != state_present(next)) return false;
  return !state_present(state) || state_pfn(next) == state_pfn(state) + distance;
}

static void add_state(const char *key, page_state state) {
  if (state_present(state)) line_hex(key, state_pfn(state));
  else line_null(key);
}

void report_pages(const char *op, uint64_t va, uint64_t pages, const page_state *before, const page_state *after) {
  for (uint64_t i = 0, length; i < pages; i += length) {
    bool accessible = mapping_accessible(va + i * PAGE);
    for (length = 1; i + length < pages; length++) {
      if (!follows(before[i], before[i + length], length) || !follows(after[i], after[i + length], length)) break;
      if (mapping_accessible(va + (i + length) * PAGE) != accessible) break;
    }
    line_begin(op);
    line_number("pid", (uint64_t)getpid());
    line_hex("va", va + i * PAGE);
    line_number("pages", length);
    add_state("before", before[i]);
    add_state("pfn", after[i]);
    if (state_swapped(after[i])) {
      line_number("swapType", state_swap_type(after[i]));
      line_hex("swapOffset", state_swap_offset(after[i]));
    }
    if (state_present(after[i]) && !accessible) line_bool("inaccessible", true);
    line_end();
  }
}
