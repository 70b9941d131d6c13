/** Columns of numbers that grow: the same array while it is long enough, otherwise a longer one with the same beginning. */

export type Words = Uint32Array<ArrayBuffer>;
export type Integers = Int32Array<ArrayBuffer>;
export type Numbers = Float64Array<ArrayBuffer>;
type Bytes = Buffer<ArrayBuffer>;

const lengthFor = (length: number, wanted: number): number => Math.max(wanted, length * 2);

export function grownWords(column: Words, length: number): Words {
  if (length <= column.length) return column;
  const longer = new Uint32Array(lengthFor(column.length, length));
  longer.set(column);
  return longer;
}

export function grownIntegers(column: Integers, length: number): Integers {
  if (length <= column.length) return column;
  const longer = new Int32Array(lengthFor(column.length, length));
  longer.set(column);
  return longer;
}

export function grownNumbers(column: Numbers, length: number): Numbers {
  if (length <= column.length) return column;
  const longer = new Float64Array(lengthFor(column.length, length));
  longer.set(column);
  return longer;
}

export function grownBytes(column: Bytes, length: number): Bytes {
  if (length <= column.length) return column;
  const longer = Buffer.alloc(lengthFor(column.length, length));
  longer.set(column);
  return longer;
}
