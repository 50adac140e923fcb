/*
 * Translates addresses with libkdumpfile and libaddrxlat: FILE ROOT LEVELS, an address a line on standard input. Prints for each the physical
 * address, or what the library says where there is none.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libkdumpfile/kdumpfile.h>
#include <libkdumpfile/addrxlat.h>

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  kdump_ctx_t *dump = kdump_new();
  int fd = open(argv[1], O_RDONLY);
  if (fd < 0 || kdump_open_fd(dump, fd) != KDUMP_OK) {
    fprintf(stderr, "%s: %s\n", argv[1], kdump_get_err(dump));
    return 1;
  }
  /* Without this it offers no translation at all, though the walk below is described by us. */
  kdump_set_string_attr(dump, "addrxlat.ostype", "linux");
  addrxlat_ctx_t *context;
  addrxlat_sys_t *system;
  if (kdump_get_addrxlat(dump, &context, &system) != KDUMP_OK) {
    fprintf(stderr, "%s: %s\n", argv[1], kdump_get_err(dump));
    return 1;
  }
  addrxlat_meth_t walk;
  memset(&walk, 0, sizeof walk);
  walk.kind = ADDRXLAT_PGT;
  walk.target_as = ADDRXLAT_MACHPHYSADDR;
  walk.param.pgt.root.as = ADDRXLAT_MACHPHYSADDR;
  walk.param.pgt.root.addr = strtoull(argv[2], NULL, 0);
  walk.param.pgt.pf.pte_format = ADDRXLAT_PTE_X86_64;
  walk.param.pgt.pf.nfields = (unsigned short)(atoi(argv[3]) + 1);
  walk.param.pgt.pf.fieldsz[0] = 12;
  for (int level = 1; level < walk.param.pgt.pf.nfields; level++) walk.param.pgt.pf.fieldsz[level] = 9;

  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    addrxlat_step_t step;
    memset(&step, 0, sizeof step);
    step.ctx = context;
    step.sys = system;
    step.meth = &walk;
    addrxlat_status status = addrxlat_launch(&step, strtoull(line, NULL, 0));
    while (status == ADDRXLAT_OK && step.remain != 0) status = addrxlat_step(&step);
    if (status == ADDRXLAT_OK) printf("0x%" PRIx64 "\n", (uint64_t)step.base.addr);
    else printf("%s\n", addrxlat_strerror(status));
  }
  return 0;
}
