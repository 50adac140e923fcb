/*
 * For the test bed alone: makes QEMU's emulated VMRUN honour the debug registers of a nested guest.
 *
 * VMRUN loads DR7 from the VMCB. TCG stores the value and sets no breakpoints by it (target/i386/tcg/sysemu/svm_helper.c, helper_vmrun); a
 * MOV to DR7 does set them. KVM has put the addresses into DR0 to DR3 by then, so this writes DR7 just before each VMRUN.
 * On silicon VMRUN and VM entry do it themselves.
 */
#include <linux/kvm_host.h>
#include <linux/module.h>
#include <linux/tracepoint.h>

#include <asm/debugreg.h>

/* KVM exports its tracepoints; their header is not among the installed ones. */
extern struct tracepoint __tracepoint_kvm_entry;

#define NO_BREAKPOINTS DR7_FIXED_1

static bool in_force;

static void before_entry(void *unused, struct kvm_vcpu *vcpu)
{
	if (vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP) {
		set_debugreg(vcpu->arch.guest_debug_dr7, 7);
		in_force = true;
	} else if (in_force) {
		set_debugreg(NO_BREAKPOINTS, 7);
		in_force = false;
	}
}

static int __init dr7_init(void)
{
	return tracepoint_probe_register(&__tracepoint_kvm_entry, before_entry, NULL);
}

static void __exit dr7_exit(void)
{
	tracepoint_probe_unregister(&__tracepoint_kvm_entry, before_entry, NULL);
	tracepoint_synchronize_unregister();
	set_debugreg(NO_BREAKPOINTS, 7);
}

module_init(dr7_init);
module_exit(dr7_exit);
MODULE_DESCRIPTION("Debug registers of nested guests under QEMU's TCG");
MODULE_LICENSE("Dual MIT/GPL");
