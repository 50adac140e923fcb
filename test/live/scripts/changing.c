/* Calls a function, and becomes another program in each way that there is: a line of its input says which. Linked statically. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile unsigned calls;

__attribute__((noinline)) void marker(void) { calls++; }

static void call(unsigned count) {
  while (count-- > 0) marker();
}

static void *run_itself(void *unused) {
  (void)unused;
  execl("/bin/changing", "changing", (char *)NULL);
  _exit(1);
}

int main(void) {
  char line[16];
  signal(SIGCHLD, SIG_DFL);
  setvbuf(stdin, NULL, _IONBF, 0);
  dprintf(1, "%d\n", (int)getpid());
  while (fgets(line, sizeof line, stdin)) {
    unsigned count = (unsigned)atoi(line + 1);
    pthread_t thread;
    pid_t child = -1;
    switch (line[0]) {
      case 'c': call(count); break;
      case 'e': run_itself(NULL); break;
      case 't':
        pthread_create(&thread, NULL, run_itself, NULL);
        pause();
        break;
      case 'f':
        child = fork();
        if (child == 0) call(count), _exit(0);
        break;
      case 'v':
        child = vfork();
        if (child == 0) call(count), _exit(0);
        break;
      case 'x':
        child = vfork();
        if (child == 0) execl("/bin/busybox", "true", (char *)NULL), _exit(1);
        break;
      case 'l':
        dprintf(1, "0\n");
        for (;;) marker();
    }
    if (child > 0) waitpid(child, NULL, 0);
    dprintf(1, "%u\n", calls);
  }
  return 0;
}
