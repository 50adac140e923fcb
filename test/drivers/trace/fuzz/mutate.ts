/** Damages traces: bytes of the file, bytes of what is packed in it, and records that are well-formed and make no sense. */
import type { Random } from '../../../../src/testing/random.ts';
import { BLOCK_ABOUT, BLOCK_RECORDS } from '../../../../src/drivers/trace/format/blocks.ts';
import { ByteReader } from '../../../../src/drivers/trace/format/byte-reader.ts';
import { ByteWriter } from '../../../../src/drivers/trace/format/byte-writer.ts';
import { RecordEncoder } from '../../../../src/drivers/trace/format/encode-record.ts';
import { randomRecord } from './random-record.ts';
import { putTogether, takeApart } from './trace-parts.ts';

type Mutation = (file: Buffer, random: Random) => Buffer;

export const MUTATIONS: Readonly<Record<string, Mutation>> = {
  'bytes of the file': damageBytes,
  'a file cut short': (file, random) => file.subarray(0, random.below(file.length + 1)),
  'bytes in blocks': (file, random) => inBlocks(file, random, (raw) => damageBytes(raw, random)),
  'records left out, doubled, moved': (file, random) => inBlocks(file, random, (raw) => shuffleRecords(raw, random)),
  'other records put between': (file, random) => inBlocks(file, random, (raw) => insertRecords(raw, random)),
  'another description': damageAbout,
  'nothing but random records': (file, random) => {
    const parts = takeApart(file);
    const about = parts.blocks.filter(({ type }) => type === BLOCK_ABOUT);
    return putTogether({ ...parts, blocks: [...about, { type: BLOCK_RECORDS, raw: randomRecords(random) }] });
  },
};

function damageBytes(bytes: Buffer, random: Random): Buffer {
  const damaged = Buffer.from(bytes);
  if (damaged.length === 0) return damaged;
  for (let count = 1 + random.below(4); count > 0; count--) {
    const at = random.below(damaged.length);
    switch (random.below(4)) {
      case 0:
        damaged[at] = damaged[at]! ^ (1 << random.below(8));
        break;
      case 1:
        damaged[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)]!;
        break;
      case 2:
        damaged.fill(random.below(256), at, Math.min(damaged.length, at + random.below(16)));
        break;
      default: {
        const from = random.below(damaged.length);
        damaged.copy(damaged, at, from, from + random.below(64));
      }
    }
  }
  return damaged;
}

function inBlocks(file: Buffer, random: Random, change: (raw: Buffer) => Buffer): Buffer {
  const { header, blocks } = takeApart(file);
  const chosen = random.below(blocks.length);
  return putTogether({
    header,
    blocks: blocks.map((block, index) =>
      index === chosen || random.below(8) === 0 ? { ...block, raw: change(block.raw).subarray(0, 2 ** 20) } : block,
    ),
  });
}

/** Whole records of a block, as bytes; the block itself where it is none of records. */
function recordsOf(raw: Buffer): Buffer[] {
  const records: Buffer[] = [];
  const from = new ByteReader(raw);
  try {
    while (from.left > 0) {
      const at = from.position;
      from.u8();
      from.part(from.varint());
      records.push(raw.subarray(at, from.position));
    }
  } catch {
    return [raw];
  }
  return records;
}

function shuffleRecords(raw: Buffer, random: Random): Buffer {
  const records = recordsOf(raw);
  for (let count = 1 + random.below(8); count > 0; count--) {
    const at = random.below(records.length);
    const [record] = records.splice(at, 1);
    if (record === undefined || random.below(3) === 0) continue;
    for (let copies = 1 + random.below(3); copies > 0; copies--)
      records.splice(random.below(records.length + 1), 0, record);
  }
  return Buffer.concat(records);
}

function insertRecords(raw: Buffer, random: Random): Buffer {
  const records = recordsOf(raw);
  for (let count = 1 + random.below(12); count > 0; count--) {
    records.splice(random.below(records.length + 1), 0, encoded(random, 1));
  }
  return Buffer.concat(records);
}

function randomRecords(random: Random): Buffer {
  return encoded(random, 1 + random.below(200));
}

function encoded(random: Random, count: number): Buffer {
  const writer = new ByteWriter();
  const encoder = new RecordEncoder();
  for (let left = count; left > 0; left--) encoder.encode(randomRecord(random), writer);
  return Buffer.from(writer.bytes);
}

function damageAbout(file: Buffer, random: Random): Buffer {
  const { header, blocks } = takeApart(file);
  const about: Record<string, unknown> = JSON.parse(blocks[0]!.raw.toString());
  const values = [null, 0, -1, 1e300, '', '0x', [], {}, true, '5-level', 'pae', '32-bit', 'samples', 'traps', 40, 4096];
  const targets = [about, about['paging'] as Record<string, unknown>, about['options'] as Record<string, unknown>];
  for (let count = 1 + random.below(3); count > 0; count--) {
    const target = targets[random.below(targets.length)]!;
    const keys = Object.keys(target);
    const key = keys[random.below(keys.length)] ?? 'title';
    if (random.below(4) === 0) delete target[key];
    else target[key] = values[random.below(values.length)];
  }
  const raw = Buffer.from(JSON.stringify(about));
  return putTogether({ header, blocks: [{ type: BLOCK_ABOUT, raw }, ...blocks.slice(1)] });
}
