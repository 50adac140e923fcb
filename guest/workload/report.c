#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int out_fd = 1;
static char line[8192];
static size_t used;

void report_to(int fd) { out_fd = fd; }

static void add(const char *text, size_t length) {
  /* Room for the closing brace and the newline stays free; a text that is too long is cut by line_text. */
  if (used + length > sizeof line - 2) return;
  memcpy(line + used, text, length);
  used += length;
}

static void add_key(const char *key) {
  if (used > 1) add(",", 1);
  add("\"", 1);
  add(key, strlen(key));
  add("\":", 2);
}

void line_begin(const char *op) {
  used = 0;
  add("{", 1);
  line_string("op", op);
}

void line_text(const char *key, const char *text, size_t length) {
  add_key(key);
  add("\"", 1);
  for (size_t i = 0; i < length && used < sizeof line - 16; i++) {
    unsigned char c = (unsigned char)text[i];
    char escaped[8];
    /* Bytes above 0x7e are written as the character of that number, so every byte comes through. */
    if (c == '"' || c == '\\') add(escaped, (size_t)snprintf(escaped, sizeof escaped, "\\%c", c));
    else if (c < 0x20 || c > 0x7e) add(escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", c));
    else add((const char *)&c, 1);
  }
  add("\"", 1);
}

void line_string(const char *key, const char *text) { line_text(key, text, strlen(text)); }

void line_number(const char *key, uint64_t value) {
  char digits[24];
  add_key(key);
  add(digits, (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)value));
}

void line_hex(const char *key, uint64_t value) {
  char digits[24];
  add_key(key);
  add(digits, (size_t)snprintf(digits, sizeof digits, "\"0x%llx\"", (unsigned long long)value));
}

void line_null(const char *key) {
  add_key(key);
  add("null", 4);
}

void line_bool(const char *key, bool value) {
  add_key(key);
  if (value) add("true", 4);
  else add("false", 5);
}

void line_end(void) {
  line[used++] = '}';
  line[used++] = '\n';
  for (size_t from = 0; from < used;) {
    ssize_t written = write(out_fd, line + from, used - from);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) _exit(3);
    from += (size_t)written;
  }
  used = 0;
}
