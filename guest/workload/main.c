/* One static program: the guest's first process, and the workload that it starts (guest/README.md). */
#include <unistd.h>

#include "command.h"
#include "init.h"
#include "pagemap.h"

int main(void) {
  if (getpid() == 1) be_init();
  pagemap_open();
  say_hello();
  serve_commands(0);
  return 0;
}
