export { type AddressSpace, addressSpaceOf, type AddressSpaceRequest } from './address-space.ts';
