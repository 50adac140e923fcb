#define _GNU_SOURCE
#include "process.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "operations.h"
#include "pagemap.h"
#include "report.h"

static pid_t child;
static int child_line = -1;

bool has_child(void) { return child > 0; }

/* The child's life: a command in, NULL or an error out, until the parent closes the line or says exit. */
static void serve_parent(int line, command_runner *run) {
  char text[1024];
  for (;;) {
    ssize_t length = recv(line, text, sizeof text - 1, 0);
    if (length <= 0) _exit(0);
    text[length] = 0;
    const char *error = run(text);
    if (!error) error = "";
    if (send(line, error, strlen(error) + 1, MSG_NOSIGNAL) < 0) _exit(0);
  }
}

const char *do_fork(uint64_t va, uint64_t pages, command_runner *run) {
  int lines[2];
  if (has_child()) return "there is a child already";
  if (!mapping_covers(va, pages, READ_ONLY)) return "these pages are not all mapped and readable";
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, lines) != 0) return failure("socketpair");
  pid_t pid = fork();
  if (pid < 0) return failure("fork");
  if (pid == 0) {
    close(lines[0]);
    child = 0;
    pagemap_open();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    serve_parent(lines[1], run);
  }
  close(lines[1]);
  child = pid;
  child_line = lines[0];
  line_begin("fork");
  line_number("pid", (uint64_t)getpid());
  line_number("child", (uint64_t)child);
  line_end();
  char look[96];
  snprintf(look, sizeof look, "look 0x%llx %llu", (unsigned long long)va, (unsigned long long)pages);
  const char *error = do_look(va, pages);
  return error ? error : do_child(look);
}

const char *do_child(const char *text) {
  static char answer[512];
  if (!has_child()) return "there is no child: fork first";
  if (strcmp(text, "exit") == 0) {
    end_child();
    return NULL;
  }
  if (send(child_line, text, strlen(text), MSG_NOSIGNAL) < 0) return failure("the child");
  ssize_t length = recv(child_line, answer, sizeof answer - 1, 0);
  if (length <= 0) {
    end_child();
    return "the child is gone";
  }
  answer[length] = 0;
  return answer[0] ? answer : NULL;
}

const char *do_cow(uint64_t va, uint64_t pages) {
  if (!has_child()) return "there is no child: fork first";
  const char *error = do_touch("cow", va, pages);
  char look[96];
  snprintf(look, sizeof look, "look 0x%llx %llu", (unsigned long long)va, (unsigned long long)pages);
  return error ? error : do_child(look);
}

void end_child(void) {
  if (!has_child()) return;
  close(child_line);
  child_line = -1;
  waitpid(child, NULL, 0);
  line_begin("exit");
  line_number("pid", (uint64_t)child);
  line_end();
  child = 0;
}

static void be_short_lived(uint64_t sleep_ms, const char *name) {
  prctl(PR_SET_NAME, name);
  char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page != MAP_FAILED) *(volatile char *)page = 1;
  if (sleep_ms > 0) nanosleep(&(struct timespec){(time_t)(sleep_ms / 1000), (long)(sleep_ms % 1000) * 1000000}, NULL);
  _exit(0);
}

const char *do_storm(uint64_t count, uint64_t parallel, uint64_t sleep_ms, const char *name) {
  uint64_t running = 0;
  if (parallel == 0) return "at least one process at a time";
  /* The child that takes commands is this process's too and must not be reaped here. */
  if (has_child()) return "end the child first";
  pid_t *pids = calloc(count + 1, sizeof *pids);
  if (!pids) return failure("calloc");
  const char *error = NULL;
  uint64_t started = 0;
  for (; started < count && !error; started++) {
    if (running == parallel && waitpid(-1, NULL, 0) > 0) running--;
    pid_t pid = fork();
    if (pid == 0) be_short_lived(sleep_ms, name);
    if (pid < 0) error = failure("fork");
    else {
      pids[started] = pid;
      running++;
    }
  }
  while (waitpid(-1, NULL, 0) > 0) continue;
  for (uint64_t i = 0; i < started && pids[i] > 0; i++) {
    line_begin("process");
    line_number("pid", (uint64_t)pids[i]);
    line_end();
  }
  free(pids);
  return error;
}

const char *ended_badly(int status) {
  static char text[64];
  if (status == 0) return NULL;
  if (WIFEXITED(status)) snprintf(text, sizeof text, "exit status %d", WEXITSTATUS(status));
  else snprintf(text, sizeof text, "ended by signal %d", WTERMSIG(status));
  return text;
}

const char *do_shell(const char *text) {
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) return failure("pipe");
  pid_t pid = fork();
  if (pid < 0) return failure("fork");
  if (pid == 0) {
    int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(out[1], 1);
    dup2(out[1], 2);
    execl("/bin/busybox", "sh", "-c", text, (char *)NULL);
    dprintf(2, "no shell in this guest: it was built without busybox\n");
    _exit(127);
  }
  close(out[1]);
  FILE *file = fdopen(out[0], "r");
  char *line = NULL;
  size_t room = 0;
  for (ssize_t length; file && (length = getline(&line, &room, file)) > 0;) {
    if (line[length - 1] == '\n') length--;
    line_begin("output");
    line_text("text", line, (size_t)length);
    line_end();
  }
  free(line);
  if (file) fclose(file);
  int status = 0;
  waitpid(pid, &status, 0);
  return ended_badly(status);
}
