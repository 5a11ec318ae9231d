import { FormatError } from "../core/errors.ts";
import { isObject, parseJson } from "./json.ts";

/** Bits of one element, in the order in which the format's own library sorts tensors (last ones first). */
const kDTypeBits = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
};

/** Number formats of safetensors 0.6. */
export type SafetensorsDType = keyof typeof kDTypeBits;

/** Where a tensor lies: `begin` and `end` count bytes from the end of the header. */
export interface TensorEntry {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

const kDTypes = Object.keys(kDTypeBits) as SafetensorsDType[];

/** What a header says of the tensors, once checked; `end` is the number of data bytes that must follow it. */
export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly end: number;
}

/** Reads a header's JSON. @throws FormatError at the first fact that contradicts the format. */
export function parseHeader(bytes: Uint8Array, file: string): SafetensorsHeader {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new FormatError(`${file}: the header is not UTF-8.`, file);
  }
  const header = parseJson(text, file, "header");
  if (!isObject(header)) throw new FormatError(`${file}: the header is no JSON object.`, file);
  const { __metadata__: metadata = {}, ...rest } = header;
  if (!isObject(metadata) || Object.values(metadata).some((v) => typeof v !== "string")) {
    throw new FormatError(
      `${file}: __metadata__ maps names to strings, it reads ${JSON.stringify(metadata)}.`,
      file,
    );
  }
  const tensors = new Map(Object.entries(rest).map(([name, value]) => [name, parseEntry(name, value, file)]));
  let end = 0;
  const inFileOrder = [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  for (const [name, entry] of inFileOrder) {
    if (entry.begin !== end) {
      const what =
        entry.begin < end ? "overlaps the tensor before it, which ends" : "leaves a hole after the data";
      throw new FormatError(`${file}: "${name}" begins at byte ${entry.begin} and ${what} at ${end}.`, file);
    }
    end = entry.end;
  }
  return { metadata: metadata as Record<string, string>, tensors, end };
}

function parseEntry(name: string, value: unknown, file: string): TensorEntry {
  const fail = (what: string): never => {
    throw new FormatError(`${file}: "${name}" ${what}.`, file);
  };
  if (!isObject(value)) return fail(`is described by ${JSON.stringify(value)}, not by an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (!kDTypes.includes(dtype as SafetensorsDType)) {
    return fail(`has dtype ${JSON.stringify(dtype)}; the format knows ${kDTypes.join(", ")}`);
  }
  if (!isCounts(shape)) return fail(`has shape ${JSON.stringify(shape)}; sizes are whole numbers from 0`);
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!) {
    return fail(`has data_offsets ${JSON.stringify(offsets)}; they are [begin, end] in bytes`);
  }
  const [begin, end] = offsets as [number, number];
  const expected = byteLength(dtype as SafetensorsDType, shape);
  if (end - begin !== expected) {
    return fail(`takes ${end - begin} bytes, ${dtype} [${shape.join(", ")}] needs ${expected}`);
  }
  return { dtype: dtype as SafetensorsDType, shape, begin, end };
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

/** Bytes of a tensor; not whole (and so equal to no range of a file) where 4- or 6-bit elements fill no whole byte. */
export function byteLength(dtype: SafetensorsDType, shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1) * (kDTypeBits[dtype] / 8);
}

/**
 * Sorts `tensors` into file order (by dtype, widest first, then by name, as Hugging Face's writer does) and gives the
 * bytes that stand before their data: the length, the JSON, spaces up to a multiple of 8.
 */
export function buildHeader(
  file: string,
  tensors: { readonly name: string; readonly dtype: SafetensorsDType; readonly shape: readonly number[] }[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  tensors.sort((a, b) => kDTypes.indexOf(b.dtype) - kDTypes.indexOf(a.dtype) || (a.name < b.name ? -1 : 1));
  const fields = new Map<string, unknown>();
  if (Object.keys(metadata).length > 0) fields.set("__metadata__", metadata);
  let end = 0;
  for (const { name, dtype, shape } of tensors) {
    if (fields.has(name) || name === "__metadata__") {
      throw new FormatError(`${file}: two entries named "${name}" to write.`, file);
    }
    const begin = end;
    end += byteLength(dtype, shape);
    fields.set(name, { dtype, shape, data_offsets: [begin, end] });
  }
  const lines = [...fields].map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  const json = new TextEncoder().encode(`{${lines.join(",")}}`);
  const header = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  return header;
}
