import { checkWhole, refuseUnknown } from "../../core/options.ts";
import { readWarc, type WarcProblem, type WarcRecord } from "../../io/warc.ts";
import type { Document } from "../document.ts";
import type { Reader } from "../step.ts";
import { type Input, inputFiles, shortName } from "./input_files.ts";
import { warcPage } from "./warc_page.ts";

const kStep = "read.warc";

export interface WarcReaderOptions {
  /** Longer records, and pages that inflate to more, are dropped as "record_too_large". In bytes; default 64 MiB. */
  readonly maxRecordBytes?: number;
}

/**
 * Reads pages from WARC files (a crawl's, or WET files of text), and ARC files, plain or gzipped. A document is the HTML of
 * a response with status 200, or the text of a conversion, decoded; its id is the record's, its metadata `url`, `date`,
 * `contentType` and `charset`. Other kinds of records are passed over and counted. Other responses are dropped with a reason
 * (see warcPage), and so is what can't be read (see readWarc), with offset and detail in the metadata of what is dropped.
 */
export function warc(files: Input, options: WarcReaderOptions = {}): Reader {
  refuseUnknown(kStep, options, ["maxRecordBytes"]);
  const { maxRecordBytes = 64 * 2 ** 20 } = options;
  checkWhole(kStep, { maxRecordBytes }, 1);
  return {
    description: { step: kStep, options: { files, maxRecordBytes } },
    files: () => inputFiles(kStep, files),
    async *read(file, context) {
      const name = shortName(files, file);
      const problems: WarcProblem[] = [];
      const dropProblems = async () => {
        for (const { reason, detail, url, ...place } of problems.splice(0)) {
          // The record is read all the same, up to where the next one begins.
          if (reason === "wrong_length") context.count(`${kStep}/wrong_length`);
          else {
            const metadata = { ...(url !== undefined && { url }), offset: place.offset, detail };
            await context.drop(kStep, reason, { id: idOf(name, place), text: "", metadata });
          }
        }
      };
      for await (const record of readWarc(file, { maxRecordBytes, onProblem: (it) => problems.push(it) })) {
        await dropProblems();
        if (record.type !== "response" && record.type !== "conversion") {
          context.count(`${kStep}/other records`);
          continue;
        }
        const page = warcPage(record, maxRecordBytes);
        const head = headOf(record, name);
        if ("reason" in page) {
          const metadata = { ...head.metadata, detail: page.detail };
          await context.drop(kStep, page.reason, { ...head, text: "", metadata });
        } else {
          const { text, ...kind } = page;
          yield { ...head, text, metadata: { ...head.metadata, ...kind } };
        }
      }
      await dropProblems();
    },
  };
}

const idOf = (name: string, { offset, within }: { offset: number; within: number }): string =>
  `${name}/${offset}${within === 0 ? "" : `+${within}`}`;

/** A document of the record, still without text. */
function headOf(record: WarcRecord, name: string): Document {
  const { headers } = record;
  const url = headers.get("warc-target-uri");
  const date = headers.get("warc-date");
  return {
    id: headers.get("warc-record-id") ?? idOf(name, record),
    text: "",
    metadata: { ...(url !== undefined && { url }), ...(date !== undefined && { date }) },
  };
}
