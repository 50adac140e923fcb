"""Reads 8 bytes at each address of standard input with drgn, from a dump: in hexadecimal, or "fault" where nothing is mapped."""

import sys

import drgn

# drgn 0.0.22 ends with a segmentation fault after some two thousand reads of a kdump.
READS = 500

addresses = [int(line, 16) for line in sys.stdin]
for start in range(0, len(addresses), READS):
    program = drgn.Program()
    program.set_core_dump(sys.argv[1])
    for address in addresses[start : start + READS]:
        try:
            print(program.read(address, 8).hex())
        except drgn.FaultError:
            print("fault")
