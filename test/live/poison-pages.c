/* Maps four pages and has userfaultfd poison two of them (UFFDIO_POISON, since Linux 6.6), without a C library. */
#define MMAP 9
#define IOCTL 16
#define PAUSE 34
#define EXIT_GROUP 231
#define USERFAULTFD 323
#define UFFDIO_API 0xc018aa3f
#define UFFDIO_REGISTER 0xc020aa00
#define UFFDIO_POISON 0xc020aa08
#define FEATURE_POISON (1ul << 14)

static long call(long number, long a, long b, long c, long d) {
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = -1, r9 __asm__("r9") = 0;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

void _start(void) {
  const unsigned long at = 0x600000000000, page = 0x1000;
  unsigned long api[] = {0xaa, FEATURE_POISON, 0};
  unsigned long missing[] = {at, 4 * page, 1, 0};
  unsigned long range[] = {at + page, 2 * page, 0, 0};
  call(MMAP, at, 4 * page, 3, 0x32);
  long fd = call(USERFAULTFD, 1, 0, 0, 0);
  if (call(IOCTL, fd, UFFDIO_API, (long)api, 0) == 0 && call(IOCTL, fd, UFFDIO_REGISTER, (long)missing, 0) == 0 &&
      call(IOCTL, fd, UFFDIO_POISON, (long)range, 0) == 0)
    call(PAUSE, 0, 0, 0, 0);
  call(EXIT_GROUP, 1, 0, 0, 0);
}
