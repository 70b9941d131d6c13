/** Where a client goes: to one address, or, as clients of several nodes do, to the next one each time the present one does not serve it. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

export class Route {
  readonly #addresses: readonly Address[];
  /** Which of the addresses is the present one. */
  index: number;

  constructor(addresses: readonly Address[], first = 0) {
    this.#addresses = addresses;
    this.index = first % addresses.length;
  }

  /** A port of this machine, or the route itself. */
  static of(to: number | Route): Route {
    return typeof to === 'number' ? new Route([{ host: '127.0.0.1', port: to }]) : to;
  }

  get address(): Address {
    return this.#addresses[this.index] as Address;
  }

  /** `host:port`. */
  get authority(): string {
    return `${this.address.host}:${this.address.port}`;
  }

  get hasOthers(): boolean {
    return this.#addresses.length > 1;
  }

  /** The present one does not serve. */
  next(): void {
    this.index = (this.index + 1) % this.#addresses.length;
  }
}
