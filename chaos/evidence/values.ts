/**
 * Values are unique over a whole drill: `source:sequence`. In memory a value is one number, the source's index and the sequence; a record
 * holds its value, a '|', and what else it needs (padding, a marker for the handler).
 */
const SEQUENCES = 2 ** 32;
const FOREIGN = 0;

export class Values {
  readonly #names: string[] = ['foreign'];
  readonly #indexes = new Map<string, number>();
  /** Texts that no source has sent; there should be none. */
  readonly #foreign: string[] = [];

  /** Makes a source known. */
  add(source: string): void {
    if (!this.#indexes.has(source)) this.#indexes.set(source, this.#names.push(source) - 1);
  }

  code(source: string, sequence: number): number {
    return (this.#indexes.get(source) ?? FOREIGN) * SEQUENCES + sequence;
  }

  /** Of a value, or of a whole record. */
  codeOf(text: string): number {
    const bar = text.indexOf('|');
    const end = bar === -1 ? text.length : bar;
    const colon = text.lastIndexOf(':', end);
    const index = colon === -1 ? undefined : this.#indexes.get(text.slice(0, colon));
    const sequence = Number(text.slice(colon + 1, end));
    if (index !== undefined && Number.isSafeInteger(sequence) && sequence > 0) return index * SEQUENCES + sequence;
    return FOREIGN * SEQUENCES + this.#foreign.push(text.slice(0, end)) - 1;
  }

  /** For people. */
  textOf(code: number): string {
    if (Number.isNaN(code)) return 'nothing';
    if (isForeign(code)) return JSON.stringify(this.#foreign[sequenceOf(code)]);
    return `${this.#names[sourceOf(code)]}:${sequenceOf(code)}`;
  }
}

export const sourceOf = (code: number): number => Math.floor(code / SEQUENCES);
export const sequenceOf = (code: number): number => code % SEQUENCES;
export const isForeign = (code: number): boolean => sourceOf(code) === FOREIGN;
