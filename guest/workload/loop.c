#define _GNU_SOURCE
#include "loop.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "operations.h"
#include "pagemap.h"
#include "report.h"

struct change {
  const char *op;
  uint64_t va;
  page_state before, after;
  bool inaccessible;
};

struct worker {
  const char *kind;
  uint64_t thread, rounds, va, pages, shadow, random;
  struct change *changes;
  uint64_t count, capacity;
  char error[160];
  pthread_t handle;
};

/* xorshift64 (Marsaglia 2003): the same seed, the same changes. */
static uint64_t draw(struct worker *worker, uint64_t below) {
  worker->random ^= worker->random << 13;
  worker->random ^= worker->random >> 7;
  worker->random ^= worker->random << 17;
  return worker->random % below;
}

/* The books are shared by all threads. */
static pthread_mutex_t books = PTHREAD_MUTEX_INITIALIZER;

static struct change *begin(struct worker *worker, const char *op, uint64_t va) {
  if (worker->count == worker->capacity) abort();
  struct change *change = &worker->changes[worker->count++];
  *change = (struct change){op, va, pagemap_read(va), 0, false};
  return change;
}

static void end(struct change *change) { change->after = pagemap_read(change->va); }

static void touch(struct worker *worker, uint64_t va) {
  struct change *change = begin(worker, "touch", va);
  stamp(va);
  end(change);
}

static void read_page(struct worker *worker, uint64_t va) {
  struct change *change = begin(worker, "read", va);
  (void)*(volatile uint8_t *)AT(va);
  end(change);
}

static const char *dontneed(struct worker *worker, uint64_t va) {
  struct change *change = begin(worker, "dontneed", va);
  if (madvise(AT(va), PAGE, MADV_DONTNEED) != 0) return failure("MADV_DONTNEED");
  end(change);
  return NULL;
}

static const char *remap(struct worker *worker, uint64_t va) {
  struct change *change = begin(worker, "unmap", va);
  pthread_mutex_lock(&books);
  const char *error = unmap_pages(va, 1);
  pthread_mutex_unlock(&books);
  end(change);
  if (error) return error;
  pthread_mutex_lock(&books);
  error = map_pages(va, 1, SMALL_PAGES, false);
  pthread_mutex_unlock(&books);
  if (!error) touch(worker, va);
  return error;
}

static const char *protect(struct worker *worker, uint64_t va, enum page_rights rights) {
  struct change *change = begin(worker, "mprotect", va);
  pthread_mutex_lock(&books);
  const char *error = protect_pages(va, 1, rights);
  pthread_mutex_unlock(&books);
  end(change);
  change->inaccessible = rights == NO_ACCESS && state_present(change->after);
  return error;
}

static const char *move(struct worker *worker, uint64_t va, uint64_t to) {
  struct change *source = begin(worker, "mremap", va), *target = begin(worker, "mremap", to);
  pthread_mutex_lock(&books);
  const char *error = move_pages_to(va, 1, to);
  pthread_mutex_unlock(&books);
  end(source);
  end(target);
  return error;
}

/*
 * A child shares the page until the parent writes to it. It is ended by a signal: a pipe whose end it waited for would stay open in the
 * children of other threads, and theirs in it.
 */
static const char *copy_on_write(struct worker *worker, uint64_t va) {
  touch(worker, va);
  pid_t child = fork();
  if (child < 0) return failure("fork");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  struct change *change = begin(worker, "cow", va);
  stamp(va);
  end(change);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  return NULL;
}

static const char *swap(struct worker *worker, uint64_t va) {
  touch(worker, va);
  struct change *change = begin(worker, "swapout", va);
  const char *error = swap_out_pages(va, 1);
  end(change);
  if (!error) read_page(worker, va);
  return error;
}

/* At most six changes a round; every round leaves the page mapped, readable and writable. */
#define CHANGES_PER_ROUND 6

static const char *play_round(struct worker *worker, const char *kind) {
  uint64_t page = draw(worker, worker->pages), va = worker->va + page * PAGE, shadow = worker->shadow + page * PAGE;
  const char *error = NULL;
  if (strcmp(kind, "fault") == 0) {
    if (draw(worker, 4) == 0) read_page(worker, va);
    touch(worker, va);
    return dontneed(worker, va);
  }
  if (strcmp(kind, "remap") == 0) return remap(worker, va);
  if (strcmp(kind, "protect") == 0) {
    touch(worker, va);
    if ((error = protect(worker, va, draw(worker, 2) == 0 ? NO_ACCESS : READ_ONLY))) return error;
    return protect(worker, va, READ_WRITE);
  }
  if (strcmp(kind, "move") == 0) {
    touch(worker, va);
    if ((error = move(worker, va, shadow))) return error;
    return move(worker, shadow, va);
  }
  if (strcmp(kind, "cow") == 0) return copy_on_write(worker, va);
  return swap(worker, va);
}

static void *work(void *argument) {
  static const char *const MIX[] = {"fault", "remap", "protect", "move"};
  struct worker *worker = argument;
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(worker->thread % (uint64_t)sysconf(_SC_NPROCESSORS_ONLN), &cpus);
  pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
  bool mix = strcmp(worker->kind, "mix") == 0;
  const char *error = NULL;
  for (uint64_t i = 0; i < worker->rounds && !error; i++)
    error = play_round(worker, mix ? MIX[draw(worker, 4)] : worker->kind);
  /* The words of `failure` go with their thread. */
  if (error) snprintf(worker->error, sizeof worker->error, "%s", error);
  return NULL;
}

static void report(const struct worker *worker) {
  for (uint64_t i = 0; i < worker->count; i++) {
    const struct change *change = &worker->changes[i];
    line_begin(change->op);
    line_number("thread", worker->thread);
    line_hex("va", change->va);
    if (state_present(change->before)) line_hex("before", state_pfn(change->before));
    else line_null("before");
    if (state_present(change->after)) line_hex("pfn", state_pfn(change->after));
    else line_null("pfn");
    if (change->inaccessible) line_bool("inaccessible", true);
    line_end();
  }
}

static const char *prepare(struct worker *worker) {
  if (!mapping_covers(worker->va, worker->pages, READ_WRITE)) {
    const char *error = map_pages(worker->va, worker->pages, SMALL_PAGES, false);
    if (error) return error;
  }
  if (!mapping_free(worker->shadow, worker->pages)) return "something is mapped where pages are to be moved to";
  worker->capacity = worker->rounds * CHANGES_PER_ROUND;
  worker->changes = malloc(worker->capacity * sizeof *worker->changes);
  if (!worker->changes) abort();
  /* So that the loop itself does not wait for memory for its notes. */
  memset(worker->changes, 0, worker->capacity * sizeof *worker->changes);
  return NULL;
}

static uint64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

const char *do_loop(const char *kind, uint64_t rounds, uint64_t va, uint64_t pages, uint64_t stride, uint64_t threads,
                    uint64_t seed) {
  static const char *const KINDS[] = {"fault", "remap", "protect", "move", "cow", "swap", "mix"};
  bool known = false;
  for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) known |= strcmp(kind, KINDS[i]) == 0;
  if (!known) return "kinds are fault, remap, protect, move, cow, swap and mix";
  if (threads < 1 || threads > LOOP_THREADS) return "1 to 8 threads";
  struct worker workers[LOOP_THREADS];
  const char *error = NULL;
  for (uint64_t t = 0; t < threads; t++) {
    uint64_t first = va + t * stride;
    workers[t] = (struct worker){.kind = kind, .thread = t, .rounds = rounds, .va = first, .pages = pages,
                                 .shadow = first + stride / 2, .random = (seed * LOOP_THREADS + t + 1) * 0x9e3779b97f4a7c15ull};
    if (!error) error = prepare(&workers[t]);
  }
  uint64_t start = nanoseconds();
  for (uint64_t t = 0; t < threads && !error; t++)
    if (pthread_create(&workers[t].handle, NULL, work, &workers[t]) != 0) abort();
  for (uint64_t t = 0; t < threads && !error; t++) pthread_join(workers[t].handle, NULL);
  uint64_t elapsed = nanoseconds() - start, changes = 0;
  for (uint64_t t = 0; t < threads; t++) {
    if (!error) report(&workers[t]);
    changes += workers[t].count;
    free(workers[t].changes);
  }
  static char message[160];
  for (uint64_t t = 0; t < threads && !error; t++) {
    memcpy(message, workers[t].error, sizeof message);
    if (message[0]) error = message;
  }
  line_begin("loop");
  line_string("kind", kind);
  line_number("changes", changes);
  line_number("nanoseconds", elapsed);
  line_end();
  return error;
}
