#include "mapping.h"

#include <stdlib.h>
#include <string.h>

#include "pagemap.h"

struct mapping {
  uint64_t va, pages;
  uint8_t *rights;
};

static struct mapping *mappings;
static uint64_t count;
static uint64_t next_va = FIRST_VA;

uint64_t mapping_next(uint64_t pages) {
  uint64_t va = next_va;
  next_va += (pages * PAGE + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE + HUGE_PAGE;
  return va;
}

static uint8_t *slot(uint64_t va) {
  for (uint64_t i = 0; i < count; i++) {
    if (va >= mappings[i].va && (va - mappings[i].va) / PAGE < mappings[i].pages)
      return &mappings[i].rights[(va - mappings[i].va) / PAGE];
  }
  return NULL;
}

enum page_rights mapping_rights(uint64_t va) {
  const uint8_t *found = slot(va);
  return found ? *found : HOLE;
}

bool mapping_accessible(uint64_t va) { return mapping_rights(va) > NO_ACCESS; }

bool mapping_covers(uint64_t va, uint64_t pages, enum page_rights least) {
  for (uint64_t i = 0; i < pages; i++)
    if (mapping_rights(va + i * PAGE) < least) return false;
  return pages > 0;
}

bool mapping_free(uint64_t va, uint64_t pages) {
  for (uint64_t i = 0; i < pages; i++)
    if (mapping_rights(va + i * PAGE) != HOLE) return false;
  return true;
}

void mapping_set(uint64_t va, uint64_t pages, enum page_rights rights) {
  for (uint64_t i = 0; i < pages; i++) {
    uint8_t *known = slot(va + i * PAGE);
    if (known) {
      *known = (uint8_t)rights;
      continue;
    }
    if (rights == HOLE) continue;
    uint64_t length = 1;
    while (i + length < pages && !slot(va + (i + length) * PAGE)) length++;
    struct mapping *grown = realloc(mappings, (count + 1) * sizeof *mappings);
    uint8_t *bytes = malloc(length);
    if (!grown || !bytes) abort();
    memset(bytes, (int)rights, length);
    mappings = grown;
    mappings[count++] = (struct mapping){va + i * PAGE, length, bytes};
    i += length - 1;
  }
}
