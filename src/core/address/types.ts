declare const brand: unique symbol;

/** Physical address in bytes: below 2^52, so exact as a number. */
export type Pa = number & { readonly [brand]: 'Pa' };

/** Guest frame number: a physical address divided by 4096; below 2^40. */
export type Gfn = number & { readonly [brand]: 'Gfn' };

/** Virtual page number: bits 63:12 of a virtual address; below 2^52, so exact as a number. */
export type Vpn = number & { readonly [brand]: 'Vpn' };

/** Virtual address in bytes, 64 bits, zero-extended as the processor's manuals write it. */
export type Va = bigint;
