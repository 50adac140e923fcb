/*
 * written-pages PID: which pages of another process were written since they were protected.
 *
 * Makes a userfaultfd in the process (one system call, injected by ptrace into its main thread), takes it over (pidfd_getfd), closes the
 * process's own descriptor, detaches, and gives up its privileges. From then on it has two descriptors: the userfaultfd, to register
 * memory (UFFD_FEATURE_WP_ASYNC: the kernel notes writes and never blocks the writer), and /proc/PID/pagemap, to protect and to ask
 * (PAGEMAP_SCAN). It reads and writes no memory of the process. When it ends, however it ends, the kernel removes every protection.
 *
 * Commands on standard input, answers on standard output, a line each; numbers are hexadecimal:
 *
 *      register START LENGTH SIZE   memory in pages of SIZE bytes                        ok
 *      protect PAGE...              from now on, writes to these pages are noted         ok
 *      scan                         the protected pages that were written since;         written PAGE... end
 *                                   they are no longer protected
 *
 * "ready" comes first. "error STEP ERRNO TEXT" instead of an answer; where it comes before "ready", nothing was done.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef __x86_64__
#error "only x86-64"
#endif

/* Older headers lack them: include/uapi/linux/userfaultfd.h and fs.h of Linux 6.7. */
#define USER_MODE_ONLY 1
#define WP_UNPOPULATED (1ULL << 13)
#define WP_ASYNC (1ULL << 15)
#define WP_HUGETLBFS_SHMEM (1ULL << 12)
struct region { uint64_t start, end, categories; };
struct scan_arg {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
  uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct scan_arg)
#define WP_MATCHING 1
#define CHECK_WPASYNC 2
#define IS_WRITTEN 2
#define IS_PRESENT 8

/* Pages that are no further apart are scanned in one call: docs/decisions/0008-kvm.md has the figures. */
#define NEAR (64 * 4096)
#define REGIONS 1024
#define MAX_AREAS 256
/* QEMU's main thread waits in ppoll nearly always. */
#define ATTEMPTS 1000

struct area { uint64_t start, end, size; };

static struct area areas[MAX_AREAS];
static size_t area_count;
static uint64_t *pages; /* Those that are protected, ascending. */
static size_t page_count, page_room;
static int uffd, pagemap;

static void answer_error(const char *step) {
  int code = errno;
  printf("error %s %d %s\n", step, code, strerror(code));
  fflush(stdout);
}

/* Waits until the thread stops. Returns its status, or -1 where it has ended. */
static int wait_stop(pid_t thread) {
  int status;
  while (waitpid(thread, &status, __WALL) < 0)
    if (errno != EINTR) return -1;
  if (WIFSTOPPED(status)) return status;
  errno = ESRCH;
  return -1;
}

/*
 * Has a thread that is stopped in a system call make another one, at the same instruction. The arguments are in registers that a call
 * clobbers anyway, so even if this process is killed in between, the thread only sees its call return early with that result.
 */
static int inject(pid_t thread, const struct user_regs_struct *before, long number, long argument, long *result) {
  struct user_regs_struct registers = *before;
  registers.rip -= 2;
  registers.rax = (unsigned long)number;
  registers.orig_rax = -1UL;
  registers.rdi = (unsigned long)argument;
  if (ptrace(PTRACE_SETREGS, thread, 0, &registers) != 0) return -1;
  int status;
  do {
    /* Signals that arrive meanwhile are blocked in QEMU's main thread; SIGSTOP and SIGCONT need no delivery. */
    if (ptrace(PTRACE_SINGLESTEP, thread, 0, 0) != 0) return -1;
    if ((status = wait_stop(thread)) < 0) return -1;
  } while (status >> 8 != SIGTRAP);
  if (ptrace(PTRACE_GETREGS, thread, 0, &registers) != 0) return -1;
  if (ptrace(PTRACE_SETREGS, thread, 0, before) != 0) return -1;
  *result = (long)registers.rax;
  return 0;
}

/* Makes a userfaultfd in the stopped thread's process and takes it over. Returns it, or -1. */
static int take_userfaultfd(pid_t pid, const struct user_regs_struct *before) {
  long there, ignored;
  int ours = -1, code = 0;
  int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (pidfd < 0) return -1;
  if (inject(pid, before, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | USER_MODE_ONLY, &there) != 0) code = errno;
  else if (there < 0) code = (int)-there;
  else {
    if ((ours = (int)syscall(SYS_pidfd_getfd, pidfd, (int)there, 0)) < 0) code = errno;
    if (inject(pid, before, SYS_close, there, &ignored) != 0 && code == 0) code = errno;
  }
  close(pidfd);
  if (code != 0 && ours >= 0) close(ours);
  errno = code;
  return code == 0 ? ours : -1;
}

/* Stops the main thread in ppoll, whose early return means nothing to an event loop. Returns the userfaultfd, or -1. */
static int open_userfaultfd(pid_t pid, const char **step) {
  *step = "attach";
  if (ptrace(PTRACE_SEIZE, pid, 0, 0) != 0) return -1;
  for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) != 0) return -1;
    int status = wait_stop(pid);
    if (status < 0) return -1;
    int is_event = status >> 16 == PTRACE_EVENT_STOP;
    if (is_event && WSTOPSIG(status) != SIGTRAP) {
      errno = EAGAIN; /* SIGSTOP has stopped the process. It stays so when this process ends. */
      return -1;
    }
    struct user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, pid, 0, &registers) != 0) return -1;
    if (is_event && registers.orig_rax == SYS_ppoll) {
      *step = "userfaultfd";
      int made = take_userfaultfd(pid, &registers), code = errno;
      ptrace(PTRACE_DETACH, pid, 0, 0);
      errno = code;
      return made;
    }
    if (ptrace(PTRACE_CONT, pid, 0, is_event ? 0 : WSTOPSIG(status)) != 0) return -1;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  *step = "ppoll";
  errno = EBUSY;
  return -1;
}

static struct area *area_of(uint64_t page) {
  for (size_t i = 0; i < area_count; i++)
    if (page >= areas[i].start && page < areas[i].end) return &areas[i];
  return NULL;
}

static void register_area(uint64_t start, uint64_t length, uint64_t size) {
  struct uffdio_register wanted = {.range = {start, length}, .mode = UFFDIO_REGISTER_MODE_WP};
  /* What was known there is gone: memory that was plugged out. */
  size_t kept = 0;
  for (size_t i = 0; i < area_count; i++)
    if (areas[i].end <= start || areas[i].start >= start + length) areas[kept++] = areas[i];
  area_count = kept;
  errno = ENOMEM;
  if (area_count == MAX_AREAS || ioctl(uffd, UFFDIO_REGISTER, &wanted) != 0) return answer_error("register");
  areas[area_count++] = (struct area){start, start + length, size};
  puts("ok");
}

static int compare_pages(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* Protects the pages of a line. The answer comes once all of them are protected: what is read afterwards is at least that new. */
static void protect(char *text) {
  char *end;
  size_t added = page_count;
  for (uint64_t page; page = strtoull(text, &end, 16), end != text; text = end) {
    struct area *area = area_of(page);
    struct scan_arg arg = {
        .size = sizeof arg, .flags = WP_MATCHING | CHECK_WPASYNC, .start = page, .end = page + (area ? area->size : 0),
        .category_mask = IS_WRITTEN, .return_mask = IS_WRITTEN};
    errno = EFAULT;
    if (area == NULL || page % area->size != 0 || ioctl(pagemap, PAGEMAP_SCAN, &arg) < 0) return answer_error("protect");
    if (added == page_room) {
      page_room = page_room * 2 + 1024;
      if ((pages = realloc(pages, page_room * sizeof *pages)) == NULL) exit(1);
    }
    pages[added++] = page;
  }
  qsort(pages, added, sizeof *pages, compare_pages);
  page_count = 0;
  for (size_t i = 0; i < added; i++)
    if (page_count == 0 || pages[page_count - 1] != pages[i]) pages[page_count++] = pages[i];
  puts("ok");
}

/*
 * Asks for the pages that are still protected rather than for those that are written: of the pages in between, which nobody protects, the
 * answer then says nothing. A page that is not present counts as written: shared memory that QEMU has discarded stays protected, and so
 * does what is swapped out. This asks only: protecting in the same call would take KVM's mappings of the whole range away.
 */
static void scan(void) {
  static struct region clean[REGIONS];
  size_t kept = 0, next = 0;
  fputs("written", stdout);
  while (next < page_count) {
    const struct area *area = area_of(pages[next]);
    size_t last = next;
    if (area == NULL) {
      printf(" %lx", pages[next++]);
      continue;
    }
    while (last + 1 < page_count && pages[last + 1] - pages[last] <= NEAR && pages[last + 1] < area->end) last++;
    uint64_t end = pages[last] + area->size, room = last - next + 1;
    if (room > REGIONS) room = REGIONS;
    for (uint64_t at = pages[next]; at < end;) {
      struct scan_arg arg = {
          .size = sizeof arg, .start = at, .end = end, .vec = (uintptr_t)clean, .vec_len = room,
          .category_inverted = IS_WRITTEN, .category_mask = IS_WRITTEN | IS_PRESENT, .return_mask = IS_WRITTEN};
      int found = ioctl(pagemap, PAGEMAP_SCAN, &arg);
      if (found < 0) {
        putchar('\n');
        return answer_error("scan");
      }
      for (int i = 0; i < found; i++) {
        for (; next <= last && pages[next] < clean[i].start; next++) printf(" %lx", pages[next]);
        for (; next <= last && pages[next] < clean[i].end; next++) pages[kept++] = pages[next];
      }
      at = arg.walk_end;
    }
    for (; next <= last; next++) printf(" %lx", pages[next]);
  }
  page_count = kept;
  puts(" end");
}

/* Both descriptors are checked when they are opened. Of what they are used for, nothing takes a privilege. */
static void drop_privileges(void) {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (geteuid() != 0) return;
  if (setgroups(0, NULL) != 0 || setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0) _exit(1);
}

int main(int argc, char **argv) {
  pid_t pid = argc == 2 ? atoi(argv[1]) : 0;
  if (pid <= 0) {
    fprintf(stderr, "usage: written-pages PID\n");
    return 2;
  }
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  const char *step = "";
  uffd = open_userfaultfd(pid, &step);
  if (uffd < 0) {
    answer_error(step);
    return 1;
  }
  sigprocmask(SIG_UNBLOCK, &all, NULL);
  struct uffdio_api api = {
      .api = UFFD_API, .features = WP_ASYNC | WP_UNPOPULATED | WP_HUGETLBFS_SHMEM | UFFD_FEATURE_PAGEFAULT_FLAG_WP};
  if (ioctl(uffd, UFFDIO_API, &api) != 0) {
    answer_error("features");
    return 1;
  }
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/pagemap", pid);
  pagemap = open(path, O_RDONLY | O_CLOEXEC);
  struct scan_arg nothing = {.size = sizeof nothing, .category_mask = IS_WRITTEN, .return_mask = IS_WRITTEN};
  if (pagemap < 0 || ioctl(pagemap, PAGEMAP_SCAN, &nothing) < 0) {
    answer_error("pagemap");
    return 1;
  }
  drop_privileges();
  puts("ready");
  fflush(stdout);
  char *line = NULL;
  for (size_t room = 0; getline(&line, &room, stdin) > 0; fflush(stdout)) {
    uint64_t start, length, size;
    if (strncmp(line, "scan", 4) == 0) scan();
    else if (strncmp(line, "protect", 7) == 0) protect(line + 7);
    else if (sscanf(line, "register %lx %lx %lx", &start, &length, &size) == 3) register_area(start, length, size);
    else printf("error command %d %s", EINVAL, line);
  }
  return 0;
}
