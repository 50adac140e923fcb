/** A target description as QEMU sends it, with all that makes it hard to read, and shorter. */
export const DOCUMENTS: Readonly<Record<string, string>> = {
  'target.xml':
    '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target>' +
    '<architecture>i386:x86-64</architecture><xi:include href="core.xml"/></target>',
  'core.xml': `<?xml version="1.0"?>
<!-- A comment before the document type. -->
<!DOCTYPE target SYSTEM "gdb-target.dtd">
<feature name="org.gnu.gdb.i386.core">
  <flags id="x64_eflags" size="4"><field name="IF" start="9" end="9"/></flags>
  <reg name="rax" bitsize="64" type="int64" regnum="0"/>
  <reg name="rsp" bitsize="64" type="data_ptr"/>
  <reg name="rip" bitsize="64" type="code_ptr"/>
  <reg name="eflags" bitsize="32" type="x64_eflags"/>
  <!--reg name="cs_base" bitsize="64" type="int64"/>
  <reg name="ss_base" bitsize="64" type="int64"/-->
  <reg name='gs_base' type="int64" bitsize="64"/>
  <reg name="cr0" bitsize="64" type="x64_cr0"/>
  <reg name="cr2" bitsize="64" type="int64"/>
  <reg name="cr3" bitsize="64" type="x64_cr3"/>
  <reg name="cr4" bitsize="64" type="x64_cr4"/>
  <reg name="efer" bitsize="64" type="x64_efer"/>
  <reg name="st0" bitsize="80" type="i387_ext"/>
</feature>
`,
};

/** Its registers in the order of the `g` packet, with their bytes. */
export const REGISTER_BYTES: readonly (readonly [name: string, byteLength: number])[] = [
  ['rax', 8],
  ['rsp', 8],
  ['rip', 8],
  ['eflags', 4],
  ['gs_base', 8],
  ['cr0', 8],
  ['cr2', 8],
  ['cr3', 8],
  ['cr4', 8],
  ['efer', 8],
  ['st0', 10],
];

/** The reply to `g` for these values; registers that are not named are zero. */
export function registersReply(values: Readonly<Record<string, bigint>>): string {
  return REGISTER_BYTES.map(([name, byteLength]) => {
    const digits = (values[name] ?? 0n).toString(16).padStart(byteLength * 2, '0');
    return Buffer.from(digits, 'hex').reverse().toString('hex');
  }).join('');
}
