/* Calls usleep as often as each line of its input says, and prints how often it has. Linked dynamically. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void) {
  unsigned count;
  char how;
  /* The linker has looked it up now. */
  usleep(1);
  while (scanf("%u%c", &count, &how) == 2) {
    for (unsigned call = 1; call <= count; call++) {
      /* Takes the page of the function away from this process: the call brings it back. */
      if (how == 'd') madvise((void *)((uintptr_t)usleep & ~(uintptr_t)4095), 4096, MADV_DONTNEED);
      usleep(call);
    }
    printf("%u\n", count);
    fflush(stdout);
  }
  return 0;
}
