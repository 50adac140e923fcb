/**
 * Target descriptions: which registers a stub has, in which order. GDB manual, "Target Descriptions".
 *
 * Read with a real XML parser: QEMU's descriptions have a DOCTYPE, and comments that hide `<reg>` elements that are not sent.
 */
import { SaxesParser } from 'saxes';
import { errorText, PtmonError } from '../../../../core/error.ts';

/** An element that counts, in the order of the document. */
export type DescriptionItem =
  | {
      readonly kind: 'register';
      readonly name: string;
      readonly bitSize: number;
      /** Undefined: one more than the register before it, in this document or an earlier one. */
      readonly number: number | undefined;
    }
  /** Another document that stands here. */
  | { readonly kind: 'include'; readonly href: string };

export type RegisterDescription = Extract<DescriptionItem, { kind: 'register' }> & { readonly number: number };

/** QEMU includes one document; a vector register of AVX-512 has 512 bits. */
const MAX_DOCUMENTS = 64;
const MAX_REGISTERS = 4096;
const MAX_BIT_SIZE = 1 << 16;

/** @throws PtmonError `corrupt-input` for what is no XML, or a register without a name or a sensible size */
export function parseTargetDescription(xml: string, name: string): DescriptionItem[] {
  const items: DescriptionItem[] = [];
  const parser = new SaxesParser<{ fileName: string; xmlns: false }>({ fileName: name, xmlns: false });
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', ({ name: element, attributes }) => {
    if (element === 'reg') items.push(registerOf(attributes));
    if (element === 'include' || element.endsWith(':include')) {
      items.push({ kind: 'include', href: attributes['href'] ?? '' });
    }
  });
  try {
    parser.write(xml).close();
  } catch (cause) {
    const reason = errorText(cause);
    throw new PtmonError('corrupt-input', `the target description ${name} cannot be read: ${reason}`, {}, { cause });
  }
  return items;
}

/**
 * The registers of a description and of all that it includes, by number: the order of the `g` packet.
 *
 * @param read fetches a document by its name
 * @throws PtmonError `corrupt-input`, and whatever `read` throws
 */
export async function readRegisterDescriptions(
  read: (document: string) => Promise<string>,
  document = 'target.xml',
): Promise<RegisterDescription[]> {
  const registers: RegisterDescription[] = [];
  let documents = 0;
  let next = 0;
  const add = async (name: string): Promise<void> => {
    // A document that includes itself ends here, too.
    if (++documents > MAX_DOCUMENTS) throw malformed(`includes more than ${MAX_DOCUMENTS} documents`);
    for (const item of parseTargetDescription(await read(name), name)) {
      if (item.kind === 'include') {
        await add(item.href);
        continue;
      }
      if (registers.length === MAX_REGISTERS) throw malformed(`has more than ${MAX_REGISTERS} registers`);
      const number = item.number ?? next;
      registers.push({ ...item, number });
      next = number + 1;
    }
  };
  await add(document);
  registers.sort((a, b) => a.number - b.number);
  const twice = registers.find((register, at) => register.number === registers[at - 1]?.number);
  if (twice !== undefined) throw malformed(`gives the number ${twice.number} to two registers`);
  return registers;
}

function registerOf(attributes: Readonly<Record<string, string>>): DescriptionItem {
  const { name = '', bitsize = '', regnum } = attributes;
  const bitSize = decimal(bitsize);
  const number = regnum === undefined ? undefined : decimal(regnum);
  if (name === '' || !(bitSize >= 1 && bitSize <= MAX_BIT_SIZE) || Number.isNaN(number)) {
    throw new Error(`<reg name="${name}" bitsize="${bitsize}" regnum="${regnum ?? ''}"> is not a register`);
  }
  return { kind: 'register', name, bitSize, number };
}

/** NaN for what is no decimal number. */
function decimal(digits: string): number {
  return /^[0-9]{1,9}$/.test(digits) ? Number(digits) : Number.NaN;
}

function malformed(fault: string): PtmonError {
  return new PtmonError('corrupt-input', `the target description ${fault}`);
}
