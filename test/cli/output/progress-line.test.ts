import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ProgressLine } from '../../../src/cli/output/progress-line.ts';
import { sizeText } from '../../../src/cli/output/size-text.ts';
import type { Progress } from '../../../src/driver/pacer.ts';
import { TextOutput } from '../../../src/sinks/text-output.ts';
import { Recorder } from '../../sinks/examples.ts';

const at = (done: number): Progress => ({ what: 'searching', done: done * 2 ** 20, total: 2 ** 30, unit: 'bytes' });

describe('the line that says how far something is', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function reported(isTTY: boolean, steps: readonly number[]): string {
    const stream = Object.assign(new Recorder(), { isTTY });
    const line = new ProgressLine(new TextOutput(stream));
    let now = 0;
    for (const ms of steps) {
      vi.advanceTimersByTime(ms - now);
      now = ms;
      line.report(at(ms / 100));
    }
    line.clear();
    return stream.text;
  }

  test('is silent for a second', () => {
    expect(reported(true, [10, 500, 990])).toBe('');
    expect(reported(false, [10, 500, 990])).toBe('');
  });

  test('on a terminal is written anew ten times a second, and goes away', () => {
    expect(reported(true, [1000, 1050, 1100, 2000])).toBe(
      ['0 % of 1G', '1 % of 1G', '1 % of 1G'].map((text) => `\r\x1b[Ksearching: ${text}`).join('') + '\r\x1b[K',
    );
  });

  test('elsewhere is a line every ten seconds', () => {
    expect(reported(false, [1000, 5000, 10_900, 11_000, 20_000])).toBe('searching: 0 % of 1G\nsearching: 10 % of 1G\n');
  });

  test('says what it can where nobody knows the end', () => {
    const stream = new Recorder();
    const line = new ProgressLine(new TextOutput(stream));
    vi.advanceTimersByTime(1000);
    line.report({ what: 'going through page tables', done: 1234, unit: 'pages' });
    expect(stream.text).toBe('going through page tables: 1234 pages\n');
  });
});

test.each([
  [0, '0B'],
  [1023, '1023B'],
  [4096, '4K'],
  [1536, '1.5K'],
  [2 ** 21 + 4096, '2.0M'],
  [1000 * 2 ** 20 + 1, '1000M'],
  [2 ** 43, '8T'],
  [2 ** 57, '128P'],
])('%i bytes are %s', (byteLength, text) => {
  expect(sizeText(byteLength)).toBe(text);
});
