/*
 * Every vCPU writes a page-table entry, a new value each time, so often as its mailbox says. The first vCPU starts the others.
 *
 *   0x600  1: start the other vCPUs
 *   0x604  vCPUs that wait for the beginning
 *   0x608  1: begin
 *   0x60c  how often each vCPU writes
 *   0x610  address of the entry, for each vCPU 64 bits
 *   0x630  the value before the first one, likewise
 *   0x650  1: each write is made under a lock
 *   0x654  the lock
 *   0x658  vCPUs that are done
 */
.text
.code64
	movl $0x1b, %ecx
	rdmsr
	movl $1, %ebx
	testl $0x100, %eax
	jz 3f
	xorl %ebx, %ebx
1:	pause
	cmpl $0, 0x600
	je 1b
	/* INIT, then the first address of the others, to all but this one: SDM vol. 3A, 11.6. */
	movl $0xfee00300, %edx
	movl $0xc4500, (%rdx)
	movl $1000000, %ecx
2:	decl %ecx
	jnz 2b
	movl $0xc46ff, (%rdx)
3:	lock incl 0x604
4:	pause
	cmpl $0, 0x608
	je 4b
	movl 0x60c, %ecx
	movq 0x610(,%rbx,8), %rdi
	movq 0x630(,%rbx,8), %rax
5:	addq $0x1000, %rax
	cmpl $0, 0x650
	je 7f
6:	movl $1, %edx
	xchgl %edx, 0x654
	testl %edx, %edx
	jnz 6b
	movq %rax, (%rdi)
	movl $0, 0x654
	jmp 8f
7:	movq %rax, (%rdi)
8:	decl %ecx
	jnz 5b
	lock incl 0x658
9:	pause
	jmp 9b
