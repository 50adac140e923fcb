/** `--verify`: asks QEMU to translate every watched address at each stop, and compares (rule P3). */
import { hex } from '../../../core/address/va.ts';
import type { PageTableMonitor } from '../../../core/monitor/page-table-monitor.ts';
import { rootOf } from '../../../core/paging/format.ts';
import type { QemuDriver } from '../../../drivers/qemu/index.ts';

/** An address to be verified: those of a range are its pages. */
export interface VerifiedAddress {
  readonly root: number;
  readonly va: bigint;
}

export class Verifier {
  readonly #driver: QemuDriver;
  readonly #addresses: readonly VerifiedAddress[];
  readonly #report: (line: string) => unknown;
  #compared = 0;
  #different = 0;
  #notLoaded = 0;

  constructor(driver: QemuDriver, addresses: readonly VerifiedAddress[], report: (line: string) => unknown) {
    this.#driver = driver;
    this.#addresses = addresses;
    this.#report = report;
  }

  get different(): number {
    return this.#different;
  }

  get compared(): number {
    return this.#compared;
  }

  /** In a line. An address can be compared only while some vCPU has its address space loaded. */
  get verdict(): string {
    return (
      `verify: ${this.#compared} comparisons with QEMU's own translation, ${this.#different} differences; ` +
      `${this.#notLoaded} times no vCPU had the address space loaded`
    );
  }

  /** To be called while the guest stands still, with everything processed. */
  async verify(monitor: PageTableMonitor): Promise<void> {
    await this.#driver.refreshRegisters();
    const { vcpuCount } = this.#driver.registers;
    const vcpuOf = new Map<number, number>();
    for (let vcpu = 0; vcpu < vcpuCount; vcpu++) {
      vcpuOf.set(rootOf(monitor.paging, this.#driver.registers.readRegisters(vcpu).cr3), vcpu);
    }
    for (const { root, va } of this.#addresses) {
      const vcpu = vcpuOf.get(root);
      const held = monitor.state({ root, va });
      if (vcpu === undefined || held === undefined) {
        this.#notLoaded++;
        continue;
      }
      const said = await this.#driver.translateByQemu(va, vcpu);
      this.#compared++;
      if (said === held.pa) continue;
      this.#different++;
      await this.#report(
        `verify: ${hex(va)} leads to ${place(held.pa)} here, and to ${place(said)} in QEMU (vCPU ${vcpu})`,
      );
    }
  }
}

function place(pa: number | null): string {
  return pa === null ? 'nowhere' : hex(pa);
}
