export { runsOnKvm } from './is-kvm.ts';
export { type MonitorCommandOptions, QmpClient, type QmpCommandOptions, type QmpOptions } from './client.ts';
export { type PrintedRegisters, readPrintedRegisters } from './info-registers.ts';
export type { QmpEvent, QmpGreeting, QmpObject, QmpRefusal } from './messages.ts';
export { qmpRefusalOf } from './pending-commands.ts';
export { readPhysicalAddressBits } from './physical-address-bits.ts';
export { readRunState } from './run-state.ts';
