#define _GNU_SOURCE
#include "exhibit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "operations.h"
#include "pagemap.h"
#include "report.h"

#define PAGES 6
#define BYTES (PAGES * PAGE)
#define USER 1234

#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* Every second page of it is touched, so that what is there is not what is mapped. */
static char *map_some(int rights, int flags, int fd) {
  char *at = mmap(NULL, BYTES, rights, flags, fd, 0);
  if (at == MAP_FAILED) return NULL;
  for (int page = 0; page < PAGES; page += 2) {
    volatile char *byte = at + (unsigned long)page * PAGE;
    if (rights & PROT_WRITE) *byte = 1;
    else if (rights & PROT_READ) (void)*byte;
  }
  return at;
}

static int file_at(const char *path) {
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd >= 0 && ftruncate(fd, BYTES) != 0) return -1;
  return fd;
}

static void *idle(void *name) {
  if (name) prctl(PR_SET_NAME, name);
  for (;;) pause();
  return NULL;
}

static void pass_over(int signal) { (void)signal; }

static void have_memory(void) {
  int rw = PROT_READ | PROT_WRITE;
  char *plain = map_some(rw, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (plain) prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, plain, BYTES, "of its own");
  /* Read only: the page of zeroes. */
  map_some(PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  map_some(rw, MAP_SHARED | MAP_ANONYMOUS, -1);
  /* Touched, then made PROT_NONE: the pages stay, their entries are not present. */
  char *closed = map_some(rw, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (closed) mprotect(closed, BYTES, PROT_NONE);
  map_some(PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);

  mkdir("/tmp/a folder", 0755);
  map_some(rw, MAP_SHARED, file_at("/tmp/a folder/new\nline"));
  map_some(rw, MAP_PRIVATE, file_at("/tmp/copied"));
  map_some(rw, MAP_SHARED, file_at("/tmp/gone"));
  unlink("/tmp/gone");
  int memory = memfd_create("of memory", MFD_CLOEXEC);
  if (memory >= 0 && ftruncate(memory, BYTES) == 0) map_some(rw, MAP_SHARED, memory);
  int segment = shmget(IPC_PRIVATE, BYTES, IPC_CREAT | 0600);
  char *shared = segment < 0 ? (char *)-1 : shmat(segment, NULL, 0);
  if (shared != (char *)-1) shared[0] = 1;
  if (segment >= 0) shmctl(segment, IPC_RMID, NULL);

  /* Memory that is broken, where the kernel knows it; since 6.11 it says so by a signal. */
  signal(SIGBUS, pass_over);
  char *broken = map_some(rw, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (broken) madvise(broken, PAGE, MADV_HWPOISON);

  /* A page of hugetlb, where some are reserved: one that is touched, one that is closed again. */
  for (int i = 0; i < 2; i++) {
    char *reserved = mmap(NULL, HUGE_PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (reserved == MAP_FAILED) break;
    *(volatile char *)reserved = 1;
    if (i == 1) mprotect(reserved, HUGE_PAGE, PROT_NONE);
  }

  /* Huge pages: one that is written to, and the huge page of zeroes. */
  char *huge = mmap(NULL, 4 * HUGE_PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (huge == MAP_FAILED) return;
  char *aligned = (char *)(((unsigned long)huge + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
  madvise(aligned, 2 * HUGE_PAGE, MADV_HUGEPAGE);
  *(volatile char *)aligned = 1;
  (void)*(volatile char *)(aligned + HUGE_PAGE);
}

const char *do_exhibit(const char *name) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) return failure("pipe");
  pid_t pid = fork();
  if (pid < 0) return failure("fork");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, name);
    have_memory();
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, idle, "a thread");
    pthread_create(&threads[1], NULL, idle, NULL);
    /* The real user stays: who may see what depends on the effective one. */
    if (setresuid(USER, USER + 1, USER + 1) != 0) _exit(1);
    /* It clears the wish to die with the parent. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (write(ready[1], "", 1) != 1) _exit(1);
    idle(NULL);
  }
  close(ready[1]);
  char byte;
  ssize_t length = read(ready[0], &byte, 1);
  close(ready[0]);
  if (length != 1) return "it ended at once";
  line_begin("exhibit");
  line_number("pid", (uint64_t)pid);
  line_end();
  return NULL;
}
