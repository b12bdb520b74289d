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

  /** For who serves the channel next: a line for each name, with its addresses. */
  get text(): string {
    return [...this.#addresses].map(([name, addresses]) => [name, ...addresses].join(' ')).join('\n');
  }

  /** Takes what {@link text} gave. */
  restore(text: string): void {
    for (const line of text.split('\n')) {
      const [name, ...addresses] = line.split(' ');
      if (name) this.#addresses.set(name, new Set(addresses));
    }
  }
}
