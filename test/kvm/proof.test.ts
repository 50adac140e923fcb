/** Sampling with proof of a guest under KVM that counts its own writes to its tables: its processor's page walks write to them, too. */
import process from 'node:process';
import { describe, expect, inject, test } from 'vitest';
import { whyNoProof } from '../live/proved-windows.ts';
import { KvmHost } from './host.ts';

const place = inject('kvm');
const TIMES = Number(process.env['PTMON_KVM_TIMES'] || 1);

// The bed has all that it takes.
const missing = place.kind === 'direct' ? whyNoProof() : undefined;
if (missing !== undefined) process.stderr.write(`LEFT OUT: sampling with proof of guests under KVM: ${missing}\n`);

describe.skipIf(place.kind === 'none' || missing !== undefined)('sampling a guest under KVM with proof', () => {
  test('never reports a written table as not written', { timeout: 200_000 * TIMES }, async () => {
    const host = await KvmHost.open(place);
    try {
      const counts = await host.call('proof', { windows: 800 * TIMES }, 180_000 * TIMES);
      console.log(`windows: ${JSON.stringify(counts)}`);
      expect(counts.false).toBe(0);
      // The guest runs, so its processor walks these tables all the time: few windows are without a write of its own.
      expect(counts.written).toBeGreaterThan(8);
    } finally {
      await host.close();
    }
  });
});
