import { Readable } from "node:stream";
import { crc32, createInflateRaw, inflateRawSync } from "node:zlib";
import { type FileWindow, openWindow } from "./file_window.ts";

/** Bytes of a file, inflated if it is gzipped, in their order. */
export interface Piece {
  readonly bytes: Buffer;
  /** Where the piece begins: in the file, or its gzip member in the file and `within` in what that inflates to. */
  readonly offset: number;
  readonly within: number;
  readonly gzipped: boolean;
  /** Bytes before this piece were lost. */
  readonly broken: boolean;
}

export type OnGzipProblem = (reason: "damaged_gzip" | "cut_off", offset: number, detail: string) => void;

/** A member that inflates to more than this is read as a stream: slower for small ones, but in bounded memory. */
const kAtOnceBytes = 4 * 2 ** 20;
/** A member that the window holds a part of: so many bytes more are read before the next try. */
const kMoreBytes = 2 ** 20;
/** Gzip headers with a name or a comment may be this long. */
const kMaxHeader = 4096;

/**
 * The bytes of a file, plain or gzipped in any number of members, which its first bytes tell. A member that can't be
 * inflated, or whose checksum is wrong, is reported by its offset and left out (what a large one gave before its damage
 * showed is not), and reading goes on at the next. Memory: some MB, however long the members are.
 * @throws FormatError if there is no such file.
 */
export async function* readPieces(
  file: string,
  onProblem: OnGzipProblem,
): AsyncGenerator<Piece, void, undefined> {
  const window = await openWindow(file);
  try {
    await window.fill(2);
    if (window.bytes[0] === 0x1f && window.bytes[1] === 0x8b) yield* inflatedPieces(window, onProblem);
    else yield* plainPieces(window);
  } finally {
    await window.close();
  }
}

async function* plainPieces(window: FileWindow): AsyncGenerator<Piece> {
  while (await window.fill(1)) {
    const { bytes, offset } = window;
    yield { bytes, offset, within: 0, gzipped: false, broken: false };
    window.seek(offset + bytes.length);
  }
}

async function* inflatedPieces(window: FileWindow, onProblem: OnGzipProblem): AsyncGenerator<Piece> {
  // After damage, the next bytes that look like a member may be none: that is no problem of its own.
  let broken = false;
  while (await window.fill(1)) {
    const { offset } = window;
    let within = 0;
    let wrong: Wrong | undefined;
    const member = inflateMember(window);
    for (;;) {
      const next = await member.next();
      if (next.done) {
        wrong = next.value;
        break;
      }
      yield { bytes: next.value, offset, within, gzipped: true, broken };
      within += next.value.length;
      broken = false;
    }
    if (wrong === undefined) continue;
    if (!broken) onProblem(wrong.reason, offset, wrong.detail);
    broken = true;
    await seekMember(window, offset + 1);
  }
}

interface Wrong {
  readonly reason: "damaged_gzip" | "cut_off";
  readonly detail: string;
}
const noGzip: Wrong = { reason: "damaged_gzip", detail: "no gzip member" };
const cutOff: Wrong = { reason: "cut_off", detail: "the gzip member is cut off" };

/** Inflates the member at the window's beginning and moves the window behind it; returns what is wrong with it, if something is. */
async function* inflateMember(window: FileWindow): AsyncGenerator<Buffer, Wrong | undefined> {
  const header = await headerBytes(window);
  if (header === undefined) {
    const begun = window.bytes.length < 4 || isHeader(window.bytes, 0);
    return begun && !(await window.fill(kMaxHeader)) ? cutOff : noGzip;
  }
  for (let least = window.bytes.length; ; least += kMoreBytes) {
    const more = await window.fill(least);
    const begin = window.offset + header;
    try {
      const { buffer, engine } = inflateAtOnce(window.bytes.subarray(header));
      const end = begin + engine.bytesWritten;
      const sums = { crc: crc32(buffer), size: buffer.length };
      window.seek(end);
      const wrong = await wrongTrailer(window, sums);
      if (wrong) return wrong;
      yield buffer;
      return undefined;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "Z_BUF_ERROR") {
        // The window holds a part of it.
        if (!more) return cutOff;
        if (window.bytes.length < kAtOnceBytes) continue;
      } else if (code !== "ERR_BUFFER_TOO_LARGE") return { reason: "damaged_gzip", detail: message };
    }
    return yield* inflateStream(window, begin);
  }
}

/** inflateRawSync with `info` returns the engine too, which knows how much of the input it took; Node's types don't say so. */
const inflateAtOnce = (bytes: Buffer): { buffer: Buffer; engine: { bytesWritten: number } } =>
  inflateRawSync(bytes, { info: true, maxOutputLength: kAtOnceBytes, chunkSize: 2 ** 16 } as object) as never;

/** A long member, piece by piece. */
async function* inflateStream(window: FileWindow, begin: number): AsyncGenerator<Buffer, Wrong | undefined> {
  const source = Readable.from(window.from(begin));
  const inflate = createInflateRaw({ chunkSize: 2 ** 18 });
  source.on("error", (error) => inflate.destroy(error));
  let crc = 0;
  let size = 0;
  try {
    for await (const chunk of source.pipe(inflate) as AsyncIterable<Buffer>) {
      crc = crc32(chunk, crc);
      size += chunk.length;
      yield chunk;
    }
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    if (code === "Z_BUF_ERROR") return cutOff;
    if (code.startsWith("Z_")) return { reason: "damaged_gzip", detail: message };
    throw error;
  } finally {
    source.destroy();
    inflate.destroy();
  }
  window.seek(begin + inflate.bytesWritten);
  return wrongTrailer(window, { crc, size });
}

/** Checks the 8 bytes behind a member's data, and moves the window behind them. */
async function wrongTrailer(
  window: FileWindow,
  { crc, size }: { crc: number; size: number },
): Promise<Wrong | undefined> {
  if (!(await window.fill(8))) return cutOff;
  const { bytes, offset } = window;
  if (bytes.readUInt32LE(0) !== crc) return { reason: "damaged_gzip", detail: "the checksum is wrong" };
  if (bytes.readUInt32LE(4) !== size % 2 ** 32)
    return { reason: "damaged_gzip", detail: "the size is wrong" };
  window.seek(offset + 8);
  return undefined;
}

/** Length of the gzip header (RFC 1952, section 2.3) at the window's beginning; undefined where there is none. */
async function headerBytes(window: FileWindow): Promise<number | undefined> {
  if (!(await window.fill(10)) || !isHeader(window.bytes, 0)) return undefined;
  await window.fill(kMaxHeader);
  const { bytes } = window;
  const flags = bytes[3]!;
  let at = 10;
  if (flags & 4) at += bytes.length < at + 2 ? bytes.length : 2 + bytes.readUInt16LE(at);
  for (const flag of [8, 16]) {
    if (!(flags & flag)) continue;
    const end = bytes.indexOf(0, at);
    if (end === -1) return undefined;
    at = end + 1;
  }
  if (flags & 2) at += 2;
  return at < bytes.length ? at : undefined;
}

const isHeader = (bytes: Buffer, at: number): boolean =>
  bytes[at] === 0x1f && bytes[at + 1] === 0x8b && bytes[at + 2] === 8 && (bytes[at + 3]! & 0xe0) === 0;

/** Moves the window to the next bytes from `offset` on that may begin a member; to the file's end if there are none. */
async function seekMember(window: FileWindow, offset: number): Promise<void> {
  for (let from = offset; ; ) {
    window.seek(from);
    if (!(await window.fill(4))) {
      window.seek(window.offset + window.bytes.length);
      return;
    }
    const { bytes } = window;
    for (let at = bytes.indexOf(0x1f); at !== -1; at = bytes.indexOf(0x1f, at + 1)) {
      if (at + 3 < bytes.length && !isHeader(bytes, at)) continue;
      if (at + 3 >= bytes.length) break;
      window.seek(from + at);
      return;
    }
    from += Math.max(1, bytes.length - 3);
  }
}
