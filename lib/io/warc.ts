import { type OnGzipProblem, readPieces } from "./gzip_members.ts";
import { PieceReader, type Place } from "./piece_reader.ts";
import { arcHeaders, findWarcHeader, headerLength, isWarcHeader, warcHeaders } from "./warc_header.ts";

/** One record of a WARC or ARC file. */
export interface WarcRecord extends Place {
  /** "response", "request", "conversion", …; a record of an ARC file is a response. */
  readonly type: string;
  /** By name in small letters. ARC's are given WARC's names: warc-target-uri, warc-date, warc-ip-address, content-type. */
  readonly headers: ReadonlyMap<string, string>;
  readonly block: Buffer;
}

/** Something that was skipped, or isn't as its record says. */
export interface WarcProblem extends Place {
  readonly reason:
    | Parameters<OnGzipProblem>[0]
    | "garbage"
    | "bad_header"
    | "wrong_length"
    | "record_too_large";
  readonly detail: string;
  /** Of the record, where that much is known. */
  readonly url?: string;
}

export interface WarcOptions {
  /** Records with a longer block are skipped. Default 64 MiB. */
  readonly maxRecordBytes?: number;
  /** Told of everything that is skipped; reading goes on. */
  readonly onProblem: (problem: WarcProblem) => void;
}

/** Headers of a record take no more than this. */
const kMaxHeaderBytes = 2 ** 18;
const kMoreBytes = 2 ** 14;
const kArcBegin = Buffer.from("filedesc://");

/**
 * The records of a WARC (0.17 to 1.1) or ARC file, plain or gzipped, by what is in it, not by its name. Holds one record at a
 * time, at most `maxRecordBytes` and some MB. Damaged parts are told to `onProblem` and passed over: gzip members that can't be
 * inflated, bytes between records, headers without a length, records that are cut off. Where a record's length reaches into
 * the next records ("wrong_length"), they are found within it.
 * @throws FormatError if there is no such file.
 */
export async function* readWarc(
  file: string,
  { maxRecordBytes = 64 * 2 ** 20, onProblem }: WarcOptions,
): AsyncGenerator<WarcRecord, void, undefined> {
  const reader = new PieceReader(
    readPieces(file, (reason, offset, detail) => onProblem({ reason, detail, offset, within: 0 })),
  );
  let arc = false;
  do {
    while (await skipLineBreaks(reader)) {
      const place = reader.at;
      arc ||= (await reader.peek(kArcBegin.length)).subarray(0, kArcBegin.length).equals(kArcBegin);
      const headers = await (arc ? takeArcHeader(reader) : takeWarcHeader(reader));
      if (headers === undefined) {
        reader.drop(1);
        const skipped = 1 + (await skipToHeader(reader, arc));
        onProblem({ reason: "garbage", detail: `${skipped} bytes that begin no record`, ...place });
        continue;
      }
      const url = headers.get("warc-target-uri");
      const problem = (reason: WarcProblem["reason"], detail: string) =>
        onProblem({ reason, detail, ...place, ...(url === undefined ? {} : { url }) });
      const length = lengthOf(headers);
      if (length === undefined) {
        problem("bad_header", `its content-length is ${headers.get("content-length") ?? "missing"}`);
        await skipToHeader(reader, arc);
      } else if (length > maxRecordBytes) {
        problem("record_too_large", `${length} bytes, up to ${maxRecordBytes} are read`);
        if ((await reader.skip(length)) < length) problem("cut_off", "the file ends within the record");
      } else {
        const block = await takeBlock(reader, length, arc, problem);
        if (block) yield { type: headers.get("warc-type") ?? "", headers, block, ...place };
      }
    }
  } while (reader.goOn());
}

function lengthOf(headers: ReadonlyMap<string, string>): number | undefined {
  const text = headers.get("content-length") ?? "";
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** A record's block: up to the next record where its length is wrong; undefined if it is cut off. */
async function takeBlock(
  reader: PieceReader,
  length: number,
  arc: boolean,
  problem: (reason: WarcProblem["reason"], detail: string) => void,
): Promise<Buffer | undefined> {
  const block = await reader.take(length);
  if (arc ? block.length === length : block.length === length && (await endsHere(reader))) return block;
  const next = arc ? { again: 0 } : findWarcHeader(block, 1);
  if ("at" in next) {
    problem("wrong_length", `its content-length is ${length}, the next record begins after ${next.at} bytes`);
    reader.putBack(block.subarray(next.at));
    return block.subarray(0, next.at);
  }
  if (block.length === length) return block;
  problem("cut_off", `${block.length} bytes of ${length} are there`);
  return undefined;
}

/** Whether what follows is a record or the end, as behind a record of the right length. */
async function endsHere(reader: PieceReader): Promise<boolean> {
  const bytes = await reader.peek(16);
  const at = lineBreaks(bytes);
  return at === bytes.length || isWarcHeader(bytes, at) !== false;
}

/** How many line breaks stand at the beginning, in bytes. */
function lineBreaks(bytes: Buffer): number {
  let at = 0;
  while (bytes[at] === 13 || bytes[at] === 10) at++;
  return at;
}

/** Goes to what isn't a line break; false at the end. */
async function skipLineBreaks(reader: PieceReader): Promise<boolean> {
  while (await reader.fill(1)) {
    reader.drop(lineBreaks(reader.bytes));
    if (reader.bytes.length > 0) return true;
  }
  return false;
}

async function takeWarcHeader(reader: PieceReader): Promise<ReadonlyMap<string, string> | undefined> {
  if (!isWarcHeader(await reader.peek(16), 0)) return undefined;
  for (;;) {
    const length = headerLength(reader.bytes.subarray(0, kMaxHeaderBytes));
    if (length > 0) return warcHeaders(await reader.take(length));
    const had = reader.bytes.length;
    if (had >= kMaxHeaderBytes) return undefined;
    await reader.fill(had + kMoreBytes);
    if (reader.bytes.length === had) return undefined;
  }
}

async function takeArcHeader(reader: PieceReader): Promise<ReadonlyMap<string, string> | undefined> {
  let end = reader.bytes.indexOf(10);
  if (end === -1) {
    await reader.fill(kMoreBytes);
    end = reader.bytes.indexOf(10);
  }
  const headers = arcHeaders(reader.bytes.toString("latin1", 0, Math.max(0, end)).trimEnd());
  if (headers) reader.drop(end + 1);
  return headers;
}

/** Passes over bytes up to the next record's header, or to the end; returns how many. */
async function skipToHeader(reader: PieceReader, arc: boolean): Promise<number> {
  let skipped = 0;
  const drop = (length: number) => {
    reader.drop(length);
    skipped += length;
  };
  while (arc && (await reader.fill(1))) {
    await reader.peek(kMoreBytes);
    const end = reader.bytes.indexOf(10);
    if (end === -1) drop(reader.bytes.length);
    else if (arcHeaders(reader.bytes.toString("latin1", 0, end).trimEnd())) return skipped;
    else drop(end + 1);
  }
  if (arc) return skipped;
  for (;;) {
    const found = findWarcHeader(reader.bytes, 0);
    drop("at" in found ? found.at : found.again);
    if ("at" in found) return skipped;
    const had = reader.bytes.length;
    if (await reader.fill(had + 16)) continue;
    if ("at" in findWarcHeader(reader.bytes, 0)) continue;
    drop(reader.bytes.length);
    return skipped;
  }
}
