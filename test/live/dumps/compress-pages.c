/*
 * Compresses pages with the libraries that makedumpfile and QEMU compress them with, for the formats that Debian builds neither of them
 * with: `compress-pages snappy|zstd <pages >out`. Each page of 4096 bytes becomes its length (32 bits) and its bytes; a page that does
 * not become smaller is written as it is, with length 4096.
 */
#include <snappy-c.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

int main(int argc, char **argv)
{
	static char page[4096], out[16384];
	int zstd = argc > 1 && strcmp(argv[1], "zstd") == 0;

	while (fread(page, 1, sizeof page, stdin) == sizeof page) {
		size_t length = sizeof out;
		uint32_t stored;

		if (zstd)
			length = ZSTD_compress(out, sizeof out, page, sizeof page, 1);
		else if (snappy_compress(page, sizeof page, out, &length) != SNAPPY_OK)
			return 1;
		if (zstd && ZSTD_isError(length))
			return 1;
		stored = length < sizeof page ? length : sizeof page;
		fwrite(&stored, sizeof stored, 1, stdout);
		fwrite(stored < sizeof page ? out : page, 1, stored, stdout);
	}
	return 0;
}
