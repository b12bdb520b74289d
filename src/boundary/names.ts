/** Addresses of one name that a look-up tells: a record each, a length word and a `sockaddr`. */
export const ADDRESSES_MAX = 64;

/** `a0` of a look-up: of which family. */
export const LookupFamily = { any: 0, IPv4: 4, IPv6: 6 } as const;
