#define _GNU_SOURCE
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/utsname.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "call.h"
#include "exhibit.h"
#include "heap.h"
#include "loop.h"
#include "operations.h"
#include "pagemap.h"
#include "play.h"
#include "process.h"
#include "report.h"
#include "spin.h"

#define WORDS 8
/* Of one command: 4 GiB. */
#define MOST_PAGES (1ul << 20)

struct command {
  char *words[WORDS];
  size_t count;
};

/* The value of "key=…", or NULL. */
static const char *option(const struct command *command, const char *key) {
  size_t length = strlen(key);
  for (size_t i = 1; i < command->count; i++)
    if (strncmp(command->words[i], key, length) == 0 && command->words[i][length] == '=')
      return command->words[i] + length + 1;
  return NULL;
}

static bool flag(const struct command *command, const char *word) {
  for (size_t i = 1; i < command->count; i++)
    if (strcmp(command->words[i], word) == 0) return true;
  return false;
}

static uint64_t number(const char *text, uint64_t otherwise) {
  char *rest;
  if (!text) return otherwise;
  uint64_t value = strtoull(text, &rest, 0);
  return *rest == 0 && rest != text ? value : otherwise;
}

static uint64_t number_option(const struct command *command, const char *key, uint64_t otherwise) {
  return number(option(command, key), otherwise);
}

/* The n-th word as a number; where it is missing, or is a word or an option, the other. */
static uint64_t argument(const struct command *command, size_t index, uint64_t otherwise) {
  return index < command->count ? number(command->words[index], otherwise) : otherwise;
}

static const char *run_map(const struct command *command) {
  uint64_t pages = argument(command, 1, 0), va = number_option(command, "at", 0);
  enum page_size_wish wish = flag(command, "small") ? SMALL_PAGES : flag(command, "huge") ? HUGE_PAGES : ANY_SIZE;
  if (flag(command, "hugetlb")) wish = HUGETLB_2M;
  if (flag(command, "gigantic")) wish = HUGETLB_1G;
  if (pages == 0 || pages > MOST_PAGES) return "usage: map PAGES [small|huge|hugetlb|gigantic] [shared] [at=VA]";
  if (va % PAGE != 0) return "a page begins at a multiple of 4096";
  return do_map(va ? va : mapping_next(pages), pages, wish, flag(command, "shared"));
}

static const char *run_protect(const struct command *command, uint64_t va, uint64_t pages) {
  if (flag(command, "none")) return do_protect(va, pages, NO_ACCESS);
  if (flag(command, "r")) return do_protect(va, pages, READ_ONLY);
  if (flag(command, "rw")) return do_protect(va, pages, READ_WRITE);
  return "usage: mprotect VA [PAGES] none|r|rw";
}

static const char *run_on_pages(const struct command *command) {
  static const char *const NAMES[] = {"touch", "read",     "look",  "unmap",    "dontneed", "fork",
                                      "cow",   "collapse", "split", "mprotect", "swapout",  "poison",
                                      "mark",  "migrate",  "mremap"};
  enum { TOUCH, READ, LOOK, UNMAP, DONTNEED, FORK, COW, COLLAPSE, SPLIT, MPROTECT, SWAPOUT, POISON, MARK, MIGRATE, MREMAP, NONE };
  uint64_t va = argument(command, 1, 1), pages = argument(command, 2, 1), to = number_option(command, "to", 0);
  int which = TOUCH;
  while (which < NONE && strcmp(command->words[0], NAMES[which]) != 0) which++;
  if (which == NONE) return "no such command";
  if (va % PAGE != 0 || to % PAGE != 0) return "a command on pages needs the address of the first: COMMAND VA [PAGES]";
  if (pages == 0 || pages > MOST_PAGES) return "1 to 1048576 pages";
  switch (which) {
    case TOUCH: return do_touch("touch", va, pages);
    case READ: return do_read(va, pages);
    case LOOK: return do_look(va, pages);
    case UNMAP: return do_unmap(va, pages);
    case DONTNEED: return do_dontneed(va, pages);
    case FORK: return do_fork(va, pages, run_command);
    case COW: return do_cow(va, pages);
    case COLLAPSE: return do_collapse(va);
    case SPLIT: return do_split(va);
    case MPROTECT: return run_protect(command, va, pages);
    case SWAPOUT: return do_swap_out(va, pages);
    case POISON: return do_poison(va, pages);
    case MARK: return do_mark(va, pages);
    case MIGRATE: return do_migrate(va, pages, (int)number_option(command, "node", 0));
    default: return do_move(va, pages, to ? to : mapping_next(pages));
  }
}

static const char *run_loop(const struct command *command) {
  uint64_t rounds = argument(command, 2, 0);
  uint64_t pages = number_option(command, "pages", 16), threads = number_option(command, "threads", 1);
  uint64_t stride = number_option(command, "stride", 2 * HUGE_PAGE), va = number_option(command, "at", 0);
  if (command->count < 2 || rounds == 0 || rounds > MOST_PAGES || pages == 0 || pages > stride / 2 / PAGE || va % PAGE || stride % (2 * PAGE))
    return "usage: loop KIND ROUNDS [pages=N] [at=VA] [stride=BYTES] [threads=N] [seed=N]";
  if (!va) va = mapping_next(stride / PAGE * threads);
  return do_loop(command->words[1], rounds, va, pages, stride, threads, number_option(command, "seed", 1));
}

static const char *run_heap(const struct command *command) {
  uint64_t pages = argument(command, 1, 0);
  if (flag(command, "back")) return do_heap_shrink();
  if (pages == 0 || pages > MOST_PAGES) return "usage: heap PAGES, or heap back";
  return do_heap_grow(pages);
}

static const char *wait_ms(uint64_t milliseconds) {
  nanosleep(&(struct timespec){(time_t)(milliseconds / 1000), (long)(milliseconds % 1000) * 1000000}, NULL);
  return NULL;
}

const char *run_command(char *text) {
  struct command command = {.count = 0};
  /* What follows these two words is not cut into words. */
  if (strncmp(text, "sh ", 3) == 0) return do_shell(text + 3);
  if (strncmp(text, "child ", 6) == 0) return do_child(text + 6);
  for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
    if (command.count == WORDS) return "too many words";
    command.words[command.count++] = word;
  }
  if (command.count == 0) return "an empty command";
  const char *name = command.words[0];
  if (strcmp(name, "hello") == 0) return say_hello(), NULL;
  if (strcmp(name, "map") == 0) return run_map(&command);
  if (strcmp(name, "loop") == 0) return run_loop(&command);
  if (strcmp(name, "code") == 0) return do_code(argument(&command, 1, 1), flag(&command, "sealed"));
  if (strcmp(name, "call") == 0) return do_call(argument(&command, 1, 1), argument(&command, 2, 1));
  if (strcmp(name, "heap") == 0) return run_heap(&command);
  if (strcmp(name, "exhibit") == 0) return do_exhibit(command.count > 1 ? command.words[1] : "exhibit");
  if (strcmp(name, "play") == 0) return do_play(argument(&command, 1, 200), argument(&command, 2, 0));
  if (strcmp(name, "spin") == 0)
    return do_spin(command.count > 1 ? command.words[1] : "compute", argument(&command, 2, 10));
  if (strcmp(name, "beacon") == 0) return beacon(argument(&command, 1, 100)), NULL;
  if (strcmp(name, "sleep") == 0) return wait_ms(argument(&command, 1, 100));
  if (strcmp(name, "storm") == 0) {
    const char *called = option(&command, "name");
    return do_storm(argument(&command, 1, 100), number_option(&command, "parallel", 1),
                    number_option(&command, "ms", 0), called ? called : "storm");
  }
  return run_on_pages(&command);
}

/* The first line of a file, or an empty text. */
static const char *first_line(const char *path) {
  static char text[256];
  text[0] = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  text[length > 0 ? length : 0] = 0;
  text[strcspn(text, "\n")] = 0;
  return text;
}

static bool cpu_flag(const char *name) {
  char text[8192], wanted[32];
  bool found = false;
  snprintf(wanted, sizeof wanted, " %s", name);
  FILE *file = fopen("/proc/cpuinfo", "re");
  while (file && !found && fgets(text, sizeof text, file)) {
    char *at = strncmp(text, "flags", 5) == 0 ? strstr(text, wanted) : NULL;
    found = at && strchr(" \n", at[strlen(wanted)]);
  }
  if (file) fclose(file);
  return found;
}

void say_hello(void) {
  struct utsname name;
  uname(&name);
  volatile char here = 1;
  page_state own = pagemap_read((uintptr_t)&here / PAGE * PAGE);
  line_begin("hello");
  line_number("pid", (uint64_t)getpid());
  line_string("release", name.release);
  line_number("cpus", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
  line_bool("la57", cpu_flag("la57"));
  line_bool("pti", strstr(first_line("/sys/devices/system/cpu/vulnerabilities/meltdown"), "PTI") != NULL);
  line_bool("kaslr", strstr(first_line("/proc/cmdline"), "nokaslr") == NULL);
  line_bool("pagemap", state_present(own) && state_pfn(own) != 0);
  line_string("hugePages", first_line("/sys/kernel/mm/transparent_hugepage/enabled"));
  line_bool("swap", access("/run/swap", F_OK) == 0);
  line_bool("shell", access("/bin/busybox", X_OK) == 0);
  line_hex("firstVa", FIRST_VA);
  line_hex("beacon", beacon_address());
  line_hex("beaconMagic", BEACON_MAGIC);
  line_number("tscHertz", tsc_hertz());
  line_end();
}

static void answer(const char *text, const char *error) {
  line_begin(error ? "error" : "done");
  line_string("command", text);
  if (error) line_string("error", error);
  line_end();
}

/* These commands end the guest, so the reply comes first. */
static bool is_last(const char *command) {
  return strcmp(command, "poweroff") == 0 || strcmp(command, "reboot") == 0 || strcmp(command, "panic") == 0;
}

static void end_machine(const char *command) {
  /* Until the last line has left the serial port. */
  tcdrain(1);
  if (strcmp(command, "poweroff") == 0) reboot(RB_POWER_OFF);
  if (strcmp(command, "reboot") == 0) reboot(RB_AUTOBOOT);
  int fd = open("/proc/sysrq-trigger", O_WRONLY);
  if (fd >= 0 && write(fd, "c", 1) != 1) close(fd);
}

/* Carries out one line; false when the process is to end. */
static bool serve(const char *command) {
  char text[1024];
  if (strcmp(command, "exit") == 0) {
    end_child();
    answer(command, NULL);
    return false;
  }
  strcpy(text, command);
  if (is_last(command)) answer(command, NULL), end_machine(command);
  else answer(command, run_command(text));
  return true;
}

void serve_commands(int fd) {
  static char input[1024];
  size_t used = 0;
  bool too_long = false;
  for (;;) {
    ssize_t length = read(fd, input + used, sizeof input - used);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) return;
    used += (size_t)length;
    for (char *end; (end = memchr(input, '\n', used));) {
      size_t taken = (size_t)(end - input) + 1;
      *end = 0;
      if (too_long) answer("", "a command is shorter than 1024 characters");
      else if (!serve(input)) return;
      too_long = false;
      memmove(input, end + 1, used - taken);
      used -= taken;
    }
    if (used == sizeof input) {
      too_long = true;
      used = 0;
    }
  }
}
