#define _GNU_SOURCE
#include "init.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "report.h"

/* The console is ttyS0, where the kernel speaks too; commands and reports have ttyS1 to themselves. */
#define CONTROL_PORT "/dev/ttyS1"

static void say(const char *what, const char *name) {
  dprintf(2, "guest: %s %s: %s\n", what, name, strerror(errno));
}

static int write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return -1;
  ssize_t written = write(fd, text, strlen(text));
  close(fd);
  return written < 0 ? -1 : 0;
}

static void mount_at(const char *type, const char *path) {
  mkdir(path, 0755);
  if (mount(type, path, type, 0, NULL) != 0 && errno != EBUSY) say("mount", path);
}

/* What moves pages without being asked would spoil a report before it is made. A file that a kernel lacks is no matter. */
static void calm_kernel(void) {
  write_file("/proc/sys/kernel/printk", "4");
  write_file("/proc/sys/vm/compaction_proactiveness", "0");
  write_file("/proc/sys/vm/page-cluster", "0");
  write_file("/proc/sys/kernel/numa_balancing", "0");
  write_file("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs", "4000000");
  /* The kernel turns huge pages off where memory is below 512 MiB (mm/huge_memory.c, hugepage_init). */
  write_file("/sys/kernel/mm/transparent_hugepage/enabled", "always");
  write_file("/sys/kernel/mm/ksm/run", "0");
}

static int visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

/* Their names begin with the place in the order that their dependencies ask for. */
static void load_modules(void) {
  struct dirent **entries;
  int count = scandir("/modules", &entries, visible, alphasort);
  for (int i = 0; i < count; i++) {
    char path[300];
    snprintf(path, sizeof path, "/modules/%s", entries[i]->d_name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)) say("module", path);
    if (fd >= 0) close(fd);
  }
}

#define SWAP_BYTES (64ul << 20)

/* The header that mkswap writes: version and last page at 1024, the magic at the end of the first page. */
static void swap_on_zram(void) {
  char header[4096] = {0}, bytes[32];
  uint32_t facts[2] = {1, SWAP_BYTES / 4096 - 1};
  mkdir("/run", 0755);
  snprintf(bytes, sizeof bytes, "%lu", SWAP_BYTES);
  if (write_file("/sys/block/zram0/disksize", bytes) != 0) return say("swap", "zram0");
  memcpy(header + 1024, facts, sizeof facts);
  memcpy(header + 4086, "SWAPSPACE2", 10);
  int fd = open("/dev/zram0", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, header, sizeof header) != sizeof header) return say("write", "/dev/zram0");
  close(fd);
  if (swapon("/dev/zram0", 0) != 0) return say("swapon", "/dev/zram0");
  write_file("/run/swap", "zram0\n");
}

static int is_cpu(const struct dirent *entry) { return strncmp(entry->d_name, "cpu", 3) == 0 && isdigit(entry->d_name[3]); }

/*
 * The host boots us with one processor (maxcpus=1): Linux patches its own code while it boots, and QEMU's translator may go on with the code from before
 * the patch on another one. What is left to patch once all run is little. The first processor has no such file, nor one that cannot be unplugged.
 */
static void start_processors(void) {
  struct dirent **entries;
  int count = scandir("/sys/devices/system/cpu", &entries, is_cpu, alphasort);
  for (int i = 0; i < count; i++) {
    char path[300];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/%s/online", entries[i]->d_name);
    if (access(path, F_OK) == 0 && write_file(path, "1") != 0) say("start processor", entries[i]->d_name);
  }
}

static int open_control_port(void) {
  int fd = open(CONTROL_PORT, O_RDWR | O_NOCTTY);
  struct termios settings;
  if (fd < 0 || tcgetattr(fd, &settings) != 0) {
    say("control port", CONTROL_PORT);
    for (;;) pause();
  }
  cfmakeraw(&settings);
  settings.c_cflag |= CLOCAL | CREAD;
  cfsetspeed(&settings, B115200);
  tcsetattr(fd, TCSANOW, &settings);
  return fd;
}

static pid_t start_workload(int control) {
  pid_t pid = fork();
  if (pid == 0) {
    setsid();
    dup2(control, 0);
    dup2(control, 1);
    execl("/bin/workload", "workload", (char *)NULL);
    say("start", "/bin/workload");
    _exit(127);
  }
  return pid;
}

void be_init(void) {
  mount_at("devtmpfs", "/dev");
  mount_at("proc", "/proc");
  mount_at("sysfs", "/sys");
  mount_at("tmpfs", "/tmp");
  setenv("PATH", "/bin", 1);
  calm_kernel();
  load_modules();
  swap_on_zram();
  start_processors();
  int control = open_control_port();
  report_to(control);
  for (pid_t workload = start_workload(control);;) {
    int status;
    pid_t ended = wait(&status);
    if (ended != workload) continue;
    /* A workload that a signal has ended says nothing itself. */
    line_begin("ended");
    line_number("pid", (uint64_t)ended);
    line_number("status", (uint64_t)(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)));
    line_end();
    workload = start_workload(control);
  }
}
