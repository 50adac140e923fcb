/**
 * VMCOREINFO: the lines that Linux keeps for readers of its dumps (Documentation/admin-guide/kdump/vmcoreinfo.rst). They name the
 * kernel's own top-level table by its virtual address in the image, which lies `phys_base` behind its place in physical memory.
 */
import { PA_LIMIT } from '../../../core/address/pa.ts';
import type { KernelRoot } from '../../../driver/snapshot.ts';

/** Where x86-64 kernels are linked to, KASLR or not: __START_KERNEL_map. */
const START_KERNEL_MAP = 0xffffffff80000000n;

/** Bits 51:32 (APM vol. 2, 7.10). */
const ENCRYPTION_BITS = 0xf_ffff_0000_0000n;

/** The table's name since 4.13, and before. */
const ROOT_SYMBOLS = ['init_top_pgt', 'init_level4_pgt', 'swapper_pg_dir'];

/** Undefined where the text does not tell, as that of a 32-bit kernel. */
export function kernelRootFrom(text: string): KernelRoot | undefined {
  const lines = new Map(
    text
      .split('\n')
      .filter((line) => line.includes('='))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1).trim()]),
  );
  const physBase = decimal(lines.get('NUMBER(phys_base)'));
  const va = ROOT_SYMBOLS.map((name) => hexadecimal(lines.get(`SYMBOL(${name})`))).find((found) => found !== undefined);
  if (physBase === undefined || va === undefined || va < START_KERNEL_MAP) return undefined;
  const root = va - START_KERNEL_MAP + physBase;
  if (root < 0n || root >= BigInt(PA_LIMIT) || root % 4096n !== 0n) return undefined;
  const fiveLevels = lines.get('NUMBER(pgtable_l5_enabled)') === '1';
  const encryptionMask = decimal(lines.get('NUMBER(sme_mask)')) ?? 0n;
  // Where memory encryption takes a bit, it is one of these.
  if ((encryptionMask & ~ENCRYPTION_BITS) !== 0n) return undefined;
  return {
    root: Number(root),
    mode: fiveLevels ? '5-level' : '4-level',
    ...(encryptionMask > 0n && { encryptionMask }),
    from: 'VMCOREINFO',
  };
}

function decimal(text: string | undefined): bigint | undefined {
  return text !== undefined && /^-?\d{1,20}$/.test(text) ? BigInt(text) : undefined;
}

function hexadecimal(text: string | undefined): bigint | undefined {
  return text !== undefined && /^[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : undefined;
}
