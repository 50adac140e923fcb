import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../../../src/core/error.ts';
import { decodeRegisters } from '../../../../src/drivers/qemu/gdb/reply/registers.ts';
import { readRegisterDescriptions } from '../../../../src/drivers/qemu/gdb/reply/target-description.ts';
import { DOCUMENTS, REGISTER_BYTES, registersReply } from './description.ts';

/** Reads from a table of documents, and counts. */
function reader(documents: Readonly<Record<string, string>>) {
  let reads = 0;
  const read = async (name: string) => {
    reads++;
    const document = documents[name];
    if (document === undefined) throw new PtmonError('source-unavailable', `no ${name}`);
    return document;
  };
  return { read, reads: () => reads };
}

const describeXml = (xml: string) => readRegisterDescriptions(reader({ 'target.xml': xml }).read);

describe('a description', () => {
  test('is read as XML: document types, includes, and comments that hide registers', async () => {
    const registers = await readRegisterDescriptions(reader(DOCUMENTS).read);
    expect(registers.map(({ name, bitSize }) => [name, bitSize / 8])).toEqual(REGISTER_BYTES);
  });

  test('numbers registers on from the one before, over documents; the order is by number', async () => {
    const { read } = reader({
      'target.xml':
        '<target><reg name="d" bitsize="8" regnum="7"/><i:include href="more.xml"/><reg name="a" bitsize="8" regnum="1"/>' +
        '<reg name="b" bitsize="8"/></target>',
      'more.xml': '<feature><reg name="e" bitsize="8"/></feature>',
    });
    const registers = await readRegisterDescriptions(read);
    expect(registers.map(({ name, number }) => `${name}${number}`)).toEqual(['a1', 'b2', 'd7', 'e8']);
  });

  test.each<readonly [string, string, RegExp]>([
    ['no XML', 'E01', /cannot be read/],
    ['XML that ends too early', '<target><reg name="a" bitsize="8"/>', /unclosed tag/],
    ['a register without a name', '<t><reg bitsize="8"/></t>', /is not a register/],
    ['a register without a size', '<t><reg name="a"/></t>', /is not a register/],
    ['a register of no bits', '<t><reg name="a" bitsize="0"/></t>', /is not a register/],
    ['a register of a million bits', '<t><reg name="a" bitsize="1000000"/></t>', /is not a register/],
    ['a size that is no number', '<t><reg name="a" bitsize="8e1"/></t>', /is not a register/],
    ['a number that is none', '<t><reg name="a" bitsize="8" regnum="-1"/></t>', /is not a register/],
    [
      'one number twice',
      '<t><reg name="a" bitsize="8" regnum="1"/><reg name="b" bitsize="8" regnum="1"/></t>',
      /number 1 to two/,
    ],
    ['too many registers', `<t>${'<reg name="a" bitsize="8"/>'.repeat(5000)}</t>`, /more than 4096 registers/],
    ['a document that includes itself', '<t><xi:include href="target.xml"/></t>', /more than 64 documents/],
    ['entities that grow', '<!DOCTYPE t [<!ENTITY a "aaa">]><t>&a;</t>', /undefined entity/],
  ])('that is %s is corrupt', async (_, xml, message) => {
    await expect(describeXml(xml)).rejects.toMatchObject({
      code: 'corrupt-input',
      message: expect.stringMatching(message) as string,
    });
  });

  test('an include that the stub does not have fails as the stub does', async () => {
    await expect(describeXml('<t><xi:include href="x.xml"/></t>')).rejects.toThrow('no x.xml');
    await expect(describeXml('<t><xi:include/></t>')).rejects.toThrow('no ');
  });

  test('whatever the text, it is read or a PtmonError', async () => {
    const text = fc
      .array(
        fc.constantFrom(
          '<t>',
          '</t>',
          '<reg name="a" bitsize="8"/>',
          '<!--',
          '-->',
          '<!DOCTYPE t',
          '>',
          '&',
          '\0',
          ']]>',
          'é',
        ),
      )
      .map((parts) => parts.join(''));
    await fc.assert(
      fc.asyncProperty(text, async (xml) => {
        const outcome: unknown = await describeXml(xml).catch((error: unknown) => error);
        expect(Array.isArray(outcome) || outcome instanceof PtmonError).toBe(true);
      }),
    );
  });
});

describe('the registers of a vCPU', async () => {
  const descriptions = await readRegisterDescriptions(reader(DOCUMENTS).read);
  const paging = { cr0: 0x8005_0033n, cr3: 0x8000_0001_2345_6001n, cr4: 0x1770_678n, efer: 0xd01n };
  const reply = registersReply({ ...paging, rip: 0xffff_ffff_8100_0000n, st0: 2n ** 80n - 1n });

  const notAvailable = (unknown: string) => {
    const start = REGISTER_BYTES.slice(
      0,
      REGISTER_BYTES.findIndex(([name]) => name === unknown),
    ).reduce((sum, [, n]) => sum + n * 2, 0);
    return `${reply.slice(0, start)}${'x'.repeat(16)}${reply.slice(start + 16)}`;
  };

  test('are unsigned, of any width, and by name', () => {
    const registers = decodeRegisters(reply, descriptions);
    expect(registers).toMatchObject(paging);
    expect(registers.values.get('rip')).toBe(0xffff_ffff_8100_0000n);
    expect(registers.values.get('st0')).toBe(2n ** 80n - 1n);
    expect([...registers.values.keys()]).toEqual(REGISTER_BYTES.map(([name]) => name));
  });

  test('may end early, and need not all be available', () => {
    expect([...decodeRegisters(reply.slice(0, -20), descriptions).values.keys()]).not.toContain('st0');
    expect([...decodeRegisters(`${'x'.repeat(16)}${reply.slice(16)}`, descriptions).values.keys()]).not.toContain(
      'rax',
    );
  });

  test.each<readonly [string, string, string, RegExp]>([
    ['without cr3', reply.slice(0, 16 * 5 + 8), 'source-unavailable', /does not show the register cr3/],
    ['with cr0 not available', notAvailable('cr0'), 'source-unavailable', /does not show the register cr0/],
    ['of half a byte', `${reply}0`, 'corrupt-input', /digits of registers/],
    [
      'that are longer than described',
      `${reply}0000`,
      'corrupt-input',
      /176 digits of registers; its description says 172/,
    ],
    ['that are no digits', `zz${reply.slice(2)}`, 'corrupt-input', /as the register rax/],
  ])('%s', (_, text, code, message) => {
    expect(() => decodeRegisters(text, descriptions)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) as string }) as Error,
    );
  });
});
