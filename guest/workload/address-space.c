/* The system calls that change this process's page tables, with the books in mapping.c. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "address-space.h"
#include "pagemap.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif
/* Linux 5.19. */
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* Each thread of a loop may fail on its own. */
static _Thread_local char message[160];

const char *failure(const char *what) {
  snprintf(message, sizeof message, "%s: %s", what, strerror(errno));
  return message;
}

void stamp(uint64_t va) {
  volatile uint64_t *page = (volatile uint64_t *)AT(va);
  page[0] = va;
  page[1] = (uint64_t)getpid();
}

const char *map_pages(uint64_t va, uint64_t pages, enum page_size_wish wish, bool shared) {
  int flags = MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | (shared ? MAP_SHARED : MAP_PRIVATE);
  /* The size of a hugetlb page is given as its logarithm. */
  if (wish == HUGETLB_2M) flags |= MAP_HUGETLB | 21 << MAP_HUGE_SHIFT;
  if (wish == HUGETLB_1G) flags |= MAP_HUGETLB | 30 << MAP_HUGE_SHIFT;
  void *got = mmap(AT(va), pages * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (got == MAP_FAILED) return failure("mmap");
  if ((uintptr_t)got != va) {
    munmap(got, pages * PAGE);
    return "mmap: the kernel chose another address";
  }
  mapping_set(va, pages, READ_WRITE);
  /* A kernel without huge pages refuses the advice and does what it asks for. */
  if (wish == SMALL_PAGES) madvise(got, pages * PAGE, MADV_NOHUGEPAGE);
  if (wish == HUGE_PAGES && madvise(got, pages * PAGE, MADV_HUGEPAGE) != 0) return failure("MADV_HUGEPAGE");
  return NULL;
}

const char *unmap_pages(uint64_t va, uint64_t pages) {
  if (munmap(AT(va), pages * PAGE) != 0) return failure("munmap");
  mapping_set(va, pages, HOLE);
  return NULL;
}

const char *protect_pages(uint64_t va, uint64_t pages, enum page_rights rights) {
  int prot = rights == READ_WRITE ? PROT_READ | PROT_WRITE : rights == READ_ONLY ? PROT_READ : PROT_NONE;
  if (mprotect(AT(va), pages * PAGE, prot) != 0) return failure("mprotect");
  mapping_set(va, pages, rights);
  return NULL;
}

const char *move_pages_to(uint64_t va, uint64_t pages, uint64_t to) {
  uint64_t byte_length = pages * PAGE;
  enum page_rights rights = mapping_rights(va);
  /* MREMAP_FIXED replaces what is there: the caller has seen to it that nothing of anybody else's is. */
  void *got = mremap(AT(va), byte_length, byte_length, MREMAP_MAYMOVE | MREMAP_FIXED, AT(to));
  if (got == MAP_FAILED) return failure("mremap");
  mapping_set(va, pages, HOLE);
  mapping_set(to, pages, rights);
  return NULL;
}

/* Moves to a processor of those in `allowed`: the one at `turn`, counted round and round. */
static void move_to_processor(const cpu_set_t *allowed, int turn) {
  int left = turn % CPU_COUNT(allowed);
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, allowed) || left-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

const char *swap_out_pages(uint64_t va, uint64_t pages) {
  const char *fault = "MADV_PAGEOUT: the kernel kept the pages (is there no swap?)";
  page_state state;
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return failure("sched_getaffinity");
  /* The kernel skips pages that it has pinned for a moment, and those that wait in another processor's batch for its LRU lists: it
     empties the batch of the processor that asks. So ask again for a while, on each processor in turn. */
  for (int attempt = 0; attempt < 50 && fault != NULL; attempt++) {
    if (attempt > 0) {
      nanosleep(&(struct timespec){0, 10 * 1000 * 1000}, NULL);
      move_to_processor(&allowed, attempt);
    }
    if (madvise(AT(va), pages * PAGE, MADV_PAGEOUT) != 0) {
      fault = failure("MADV_PAGEOUT");
      break;
    }
    uint64_t left = 0;
    for (uint64_t i = 0; i < pages; i++) {
      pagemap_read_range(va + i * PAGE, 1, &state);
      left += state_present(state);
    }
    if (left == 0) fault = NULL;
  }
  sched_setaffinity(0, sizeof allowed, &allowed);
  return fault;
}

const char *collapse_pages(uint64_t va) {
  /* Lifts the MADV_NOHUGEPAGE of small pages, which MADV_COLLAPSE respects. */
  if (madvise(AT(va), HUGE_PAGE, MADV_HUGEPAGE) != 0) return failure("MADV_HUGEPAGE");
  for (int attempt = 0;; attempt++) {
    if (madvise(AT(va), HUGE_PAGE, MADV_COLLAPSE) == 0) return NULL;
    if (errno == EINVAL) return failure("MADV_COLLAPSE (in Linux since 6.1)");
    if (errno != EAGAIN || attempt == 20) return failure("MADV_COLLAPSE");
    nanosleep(&(struct timespec){0, 10 * 1000 * 1000}, NULL);
  }
}

const char *split_page(uint64_t va) {
  /* Other rights for one 4 KiB page need an entry of its own; the frames stay. */
  if (mprotect(AT(va), PAGE, PROT_READ) != 0) return failure("mprotect");
  if (mprotect(AT(va), PAGE, PROT_READ | PROT_WRITE) != 0) return failure("mprotect");
  return NULL;
}

static void pass_over(int signal) { (void)signal; }

const char *poison_pages(uint64_t va, uint64_t pages) {
  /* Since 6.11 the kernel sends SIGBUS to who does this, and cannot be told to leave it. */
  signal(SIGBUS, pass_over);
  if (madvise(AT(va), pages * PAGE, MADV_HWPOISON) != 0) return failure("MADV_HWPOISON");
  /* A process that touches them now is killed. */
  mapping_set(va, pages, NO_ACCESS);
  return NULL;
}

const char *mark_pages(uint64_t va, uint64_t pages) {
  /* Stays open: the marks go with it. */
  static int fd = -1;
  if (fd < 0) fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return failure("userfaultfd");
  struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM};
  if (ioctl(fd, UFFDIO_API, &api) != 0 && errno != EINVAL) return failure("UFFDIO_API");
  struct uffdio_register area = {.range = {va, pages * PAGE}, .mode = UFFDIO_REGISTER_MODE_WP};
  if (ioctl(fd, UFFDIO_REGISTER, &area) != 0) return failure("UFFDIO_REGISTER");
  struct uffdio_writeprotect protect = {.range = {va, pages * PAGE}, .mode = UFFDIO_WRITEPROTECT_MODE_WP};
  return ioctl(fd, UFFDIO_WRITEPROTECT, &protect) != 0 ? failure("UFFDIO_WRITEPROTECT") : NULL;
}

const char *migrate_pages_to(uint64_t va, uint64_t pages, int node) {
  for (uint64_t i = 0; i < pages; i++) {
    void *page = AT(va + i * PAGE);
    int status = 0;
    /* MPOL_MF_MOVE */
    if (syscall(SYS_move_pages, 0, 1ul, &page, &node, &status, 2) < 0) return failure("move_pages");
    if (status < 0) errno = -status;
    if (status != node) return failure("move_pages of a page");
  }
  return NULL;
}
