#define _GNU_SOURCE
#include "spin.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "operations.h"
#include "pagemap.h"
#include "report.h"

static uint64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

struct instant {
  uint64_t nanoseconds, ticks, uncertainty;
};

/* Both clocks at one instant, as nearly as a host that shares its processors lets us: the closest of some attempts. */
static struct instant both_clocks(void) {
  struct instant best = {0, 0, UINT64_MAX};
  for (int attempt = 0; attempt < 16; attempt++) {
    uint64_t before = __rdtsc(), now = nanoseconds(), gap = __rdtsc() - before;
    if (gap < best.uncertainty) best = (struct instant){now, before + gap / 2, gap};
  }
  return best;
}

uint64_t tsc_hertz(void) {
  static uint64_t hertz;
  if (hertz == 0) {
    struct instant start = both_clocks();
    while (nanoseconds() - start.nanoseconds < 20 * 1000 * 1000) continue;
    struct instant end = both_clocks();
    hertz = (uint64_t)((double)(end.ticks - start.ticks) * 1e9 / (double)(end.nanoseconds - start.nanoseconds));
  }
  return hertz;
}

#ifdef __x86_64__
/* beacon_loop(rdi = magic, rsi = pid, rdx = tick to stop at): the first two are in r15 and r14 meanwhile. */
void beacon_loop(uint64_t magic, uint64_t pid, uint64_t until);
__asm__(
    ".text\n"
    ".globl beacon_loop\n"
    ".type beacon_loop, @function\n"
    "beacon_loop:\n"
    "  push %r14\n"
    "  push %r15\n"
    "  mov %rdi, %r15\n"
    "  mov %rsi, %r14\n"
    "  mov %rdx, %rcx\n"
    "1:rdtsc\n"
    "  shl $32, %rdx\n"
    "  or %rdx, %rax\n"
    "  cmp %rcx, %rax\n"
    "  jb 1b\n"
    "  pop %r15\n"
    "  pop %r14\n"
    "  ret\n"
    ".size beacon_loop, . - beacon_loop\n");
#else
/* beacon_loop(magic, pid, tick to stop at): the first two are in edi and esi meanwhile. */
void beacon_loop(uint32_t magic, uint32_t pid, uint64_t until);
__asm__(
    ".text\n"
    ".globl beacon_loop\n"
    ".type beacon_loop, @function\n"
    "beacon_loop:\n"
    "  push %edi\n"
    "  push %esi\n"
    "  mov 12(%esp), %edi\n"
    "  mov 16(%esp), %esi\n"
    "1:rdtsc\n"
    "  cmp 24(%esp), %edx\n"
    "  jb 1b\n"
    "  ja 2f\n"
    "  cmp 20(%esp), %eax\n"
    "  jb 1b\n"
    "2:pop %esi\n"
    "  pop %edi\n"
    "  ret\n"
    ".size beacon_loop, . - beacon_loop\n");
#endif

void beacon(uint64_t milliseconds) {
  beacon_loop(BEACON_MAGIC, (uintptr_t)getpid(), __rdtsc() + tsc_hertz() / 1000 * milliseconds);
}

uint64_t beacon_address(void) { return (uintptr_t)beacon_loop; }

static uint64_t compute(uint64_t amount) {
  uint64_t value = 88172645463325252ull;
  for (uint64_t i = 0; i < amount * 1000000; i++) {
    value ^= value << 13;
    value ^= value >> 7;
    value ^= value << 17;
  }
  return value;
}

#define ARENA (8ul << 20)

const char *do_spin(const char *kind, uint64_t amount) {
  bool memory = strcmp(kind, "memory") == 0, fault = strcmp(kind, "fault") == 0;
  if (!memory && !fault && strcmp(kind, "compute") != 0) return "kinds are compute, memory and fault";
  volatile uint64_t *arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (arena == MAP_FAILED) return failure("mmap");
  madvise((void *)arena, ARENA, MADV_NOHUGEPAGE);
  if (memory) memset((void *)arena, 1, ARENA);
  uint64_t start = nanoseconds(), ticks = __rdtsc(), sink = 0;
  if (memory) {
    for (uint64_t i = 0; i < (amount << 20) / sizeof *arena; i++) arena[i % (ARENA / sizeof *arena)] = i;
  } else if (fault) {
    /* All the faults of one arena, then the arena empty again. */
    for (uint64_t left = amount * 1000; left > 0;) {
      uint64_t pages = left < ARENA / PAGE ? left : ARENA / PAGE;
      for (uint64_t i = 0; i < pages; i++) arena[i * (PAGE / sizeof *arena)] = i;
      madvise((void *)arena, ARENA, MADV_DONTNEED);
      left -= pages;
    }
  } else {
    sink = compute(amount);
  }
  ticks = __rdtsc() - ticks;
  uint64_t elapsed = nanoseconds() - start;
  munmap((void *)arena, ARENA);
  line_begin("spin");
  line_string("kind", kind);
  line_number("amount", amount);
  line_number("nanoseconds", elapsed);
  line_number("tsc", ticks);
  line_hex("result", sink);
  line_end();
  return NULL;
}
