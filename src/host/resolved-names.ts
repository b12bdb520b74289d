import type { SocketAddress } from '../linux/socket-address.ts';

/**
 * Which addresses the host's resolver gave for which names. An enclave that is granted a name may connect to
 * these, and to nothing else that it claims the name stands for. It holds granted names only, so it is bounded
 * by the grants.
 */
export class ResolvedNames {
  readonly #addresses = new Map<string, ReadonlySet<string>>();

  /** The latest answer counts, beside the addresses of the one before: a name often has many in turn. */
  remember(name: string, addresses: readonly string[]): void {
    const before = [...(this.#addresses.get(name) ?? [])].slice(0, addresses.length);
    this.#addresses.set(name, new Set([...addresses, ...before]));
  }

  standsFor(name: string, address: SocketAddress): boolean {
    return address.family !== 'unix' && this.#addresses.get(name)?.has(address.address) === true;
  }
}
