/*
 * A firmware that switches on the paging which its mailbox asks for, and then reads the addresses that its mailbox names. Page tables
 * and mailbox are written from outside, into the file that is the guest's RAM.
 *
 *   0x500  request   a new number asks for one read
 *   0x504  reply     the number of the last read that was done
 *   0x508  address   64 bits
 *   0x510  outcome   1 read, 2 page fault, 3 general protection
 *   0x514  error code of the fault
 *   0x518  the 32 bits that were read
 *   0x520  CR4
 *   0x524  CR3
 *   0x528  EFER
 *   0x52c  1 for 64-bit code, 0 for 32-bit code
 */
.set REQUEST, 0x500
.set REPLY, 0x504
.set ADDRESS, 0x508
.set OUTCOME, 0x510
.set ERROR_CODE, 0x514
.set VALUE, 0x518
.set STACK, 0x7000

.text
start:
.code16
	movw $0xf000, %ax
	movw %ax, %ds
	xorw %ax, %ax
	movw %ax, %es
	lgdtl gdt_pointer - start
	movl %es:0x520, %eax
	movl %eax, %cr4
	movl %es:0x524, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	movl %es:0x528, %eax
	xorl %edx, %edx
	wrmsr
	cmpl $0, %es:0x52c
	jne 1f
	lidtl idt32_pointer - start
	movl $0x80000001, %eax
	movl %eax, %cr0
	ljmpl $0x10, $code32
1:	lidtl idt64_pointer - start
	movl $0x80000001, %eax
	movl %eax, %cr0
	ljmpl $0x08, $code64

.code32
code32:
	movw $0x18, %ax
	movw %ax, %ds
	movw %ax, %ss
next32:
	movl $STACK, %esp
1:	pause
	movl REQUEST, %eax
	cmpl REPLY, %eax
	je 1b
	movl %cr3, %edx
	movl %edx, %cr3
	movl ADDRESS, %ebx
	movl (%ebx), %ecx
	movl %ecx, VALUE
	movl $1, OUTCOME
done32:
	movl REQUEST, %eax
	movl %eax, REPLY
	jmp next32
page_fault32:
	popl ERROR_CODE
	movl $2, OUTCOME
	jmp done32
protection32:
	popl ERROR_CODE
	movl $3, OUTCOME
	jmp done32

.code64
code64:
	xorl %eax, %eax
	movw %ax, %ss
	movw %ax, %ds
next64:
	movq $STACK, %rsp
1:	pause
	movl REQUEST, %eax
	cmpl REPLY, %eax
	je 1b
	movq %cr3, %rdx
	movq %rdx, %cr3
	movq ADDRESS, %rbx
	movl (%rbx), %ecx
	movl %ecx, VALUE
	movl $1, OUTCOME
done64:
	movl REQUEST, %eax
	movl %eax, REPLY
	jmp next64
page_fault64:
	popq %rcx
	movl %ecx, ERROR_CODE
	movl $2, OUTCOME
	jmp done64
protection64:
	popq %rcx
	movl %ecx, ERROR_CODE
	movl $3, OUTCOME
	jmp done64

.balign 16
gdt:
	.quad 0, 0x00209a0000000000, 0x00cf9a000000ffff, 0x00cf92000000ffff
idt32:
	.fill 13 * 8, 1, 0
	.word protection32 - start, 0x10, 0x8e00, 0xf
	.word page_fault32 - start, 0x10, 0x8e00, 0xf
idt64:
	.fill 13 * 16, 1, 0
	.word protection64 - start, 0x08, 0x8e00, 0xf, 0, 0, 0, 0
	.word page_fault64 - start, 0x08, 0x8e00, 0xf, 0, 0, 0, 0
idt_end:
gdt_pointer:
	.word 31
	.long gdt
idt32_pointer:
	.word idt64 - idt32 - 1
	.long idt32
idt64_pointer:
	.word idt_end - idt64 - 1
	.long idt64

.org 0xfff0
.code16
	ljmpw $0xf000, $0
.org 0x10000
