#define _GNU_SOURCE
#include "play.h"

#include <poll.h>

#include "operations.h"
#include "pagemap.h"
#include "report.h"

#define PAGES 8

/* The steps repeat; after the last the mapping is as it was before the first. */
static const char *play_step(uint64_t step, uint64_t va) {
  uint64_t page = va + step / 8 % PAGES * PAGE;
  switch (step % 8) {
    case 0: return do_touch("touch", page, 1);
    case 1: return do_protect(page, 1, NO_ACCESS);
    case 2: return do_protect(page, 1, READ_WRITE);
    case 3: return do_dontneed(page, 1);
    case 4: return do_read(page, 1);
    case 5: return do_touch("touch", page, 1);
    case 6: return do_unmap(page, 1);
    default: return do_map(page, 1, SMALL_PAGES, false);
  }
}

const char *do_play(uint64_t interval_ms, uint64_t count) {
  static uint64_t va;
  if (!va) {
    va = mapping_next(PAGES);
    const char *error = do_map(va, PAGES, SMALL_PAGES, false);
    if (error) return error;
  }
  for (uint64_t step = 0; count == 0 || step < count; step++) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    if (poll(&input, 1, (int)interval_ms) != 0) return NULL;
    const char *error = play_step(step, va);
    if (error) return error;
  }
  return NULL;
}
