#define _GNU_SOURCE
#include "call.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mapping.h"
#include "operations.h"
#include "pagemap.h"
#include "process.h"
#include "report.h"

typedef int (*successor)(int);

#ifdef __x86_64__
/* lea 1(%rdi),%eax; ret */
static const uint8_t SUCCESSOR[] = {0x8d, 0x47, 0x01, 0xc3};
#else
/* mov 4(%esp),%eax; inc %eax; ret */
static const uint8_t SUCCESSOR[] = {0x8b, 0x44, 0x24, 0x04, 0x40, 0xc3};
#endif

const char *do_code(uint64_t va, bool sealed) {
  if (va % PAGE != 0) return "a page begins at a multiple of 4096";
  if (!mapping_free(va, 1)) return "something is mapped there";
  int rights = PROT_READ | PROT_WRITE | (sealed ? 0 : PROT_EXEC);
  void *page = mmap((void *)(uintptr_t)va, PAGE, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (page == MAP_FAILED) return failure("mmap");
  mapping_set(va, 1, READ_WRITE);
  memcpy(page, SUCCESSOR, sizeof SUCCESSOR);
  return sealed && mprotect(page, PAGE, PROT_READ | PROT_EXEC) != 0 ? failure("mprotect") : NULL;
}

static bool call(uint64_t va) { return ((successor)(uintptr_t)va)(41) == 42; }

/* A child that calls the function twice, or becomes another program. */
static const char *in_child(uint64_t va, bool becomes_another) {
  static char fault[128];
  pid_t child = fork();
  if (child < 0) return failure("fork");
  if (child == 0) {
    if (becomes_another) {
      execl("/bin/busybox", "true", (char *)NULL);
      _exit(127);
    }
    _exit(call(va) && call(va) ? 0 : 1);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) return failure("waitpid");
  const char *how = ended_badly(status);
  if (!how) return NULL;
  snprintf(fault, sizeof fault, "a child that %s: %s", becomes_another ? "becomes another program" : "calls", how);
  return fault;
}

const char *do_call(uint64_t va, uint64_t rounds) {
  uint64_t own = 0, foreign = 0, swapped = 0;
  const char *fault = NULL;
  if (!mapping_covers(va, 1, READ_WRITE)) return "no code is there: use the command code first";
  for (uint64_t round = 0; round < rounds; round++) {
    switch (round % 4) {
      case 1:
        if (swap_out_pages(va, 1) == NULL) swapped++;
        break;
      case 2:
        if ((fault = in_child(va, false))) return fault;
        foreign += 2;
        break;
      case 3:
        if ((fault = in_child(va, true))) return fault;
        break;
    }
    if (!call(va)) return "the call returned something else";
    own++;
  }
  line_begin("call");
  line_number("pid", (uint64_t)getpid());
  line_number("own", own);
  line_number("foreign", foreign);
  line_number("swapped", swapped);
  line_end();
  return NULL;
}
