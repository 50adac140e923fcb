/// <reference types="ptmon/script" />
// Logs every program that the guest starts, with its arguments: ptmon script examples/execve.mjs [-- COUNT]
const limit = Number(args[0] ?? Infinity);

/** Offsets in struct pt_regs (arch/x86/include/asm/ptrace.h): the user's rdi and rsi. */
const DI = 112n;
const SI = 104n;

const pointerAt = async (memory, va) => Buffer.from(await memory.read(va, 8)).readBigUInt64LE();

async function argumentsAt(memory, va) {
  const words = [];
  for (let at = va; words.length < 32; at += 8n) {
    const pointer = await pointerAt(memory, at);
    if (pointer === 0n) break;
    words.push(await memory.readString(pointer, 256));
  }
  return words;
}

let seen = 0;
// __x64_sys_execve(const struct pt_regs *regs): the program's path and arguments are in the registers of the caller.
await guest.breakpoint('__x64_sys_execve', async ({ registers, memory }) => {
  const regs = registers.get('rdi');
  try {
    const path = await memory.readString(await pointerAt(memory, regs + DI), 256);
    const words = await argumentsAt(memory, await pointerAt(memory, regs + SI));
    console.log(`${path}  ${JSON.stringify(words)}`);
  } catch (error) {
    // The page of an argument may not be present yet: the kernel will bring it, after us.
    console.log(`(arguments not in memory: ${error.message})`);
  }
  if (++seen === limit) void guest.close();
});
console.log('waiting for programs');
await guest.run();
