import path from "node:path";
import { writeFileAtomically } from "../../../io/atomic.ts";
import { kernelText, textKernels } from "../characters.ts";
import { permutationsOf, type SignatureSettings } from "../signature_options.ts";
import { readDone, scoresFile, writeDone } from "./layout.ts";
import { readDocuments, scoreOf } from "./read_documents.ts";
import { SignatureSorter } from "./sort_signatures.ts";

export interface SignaturesTask {
  readonly stage: "signatures";
  /** Which input file, and its path. */
  readonly file: number;
  readonly input: string;
  /** Where signatures go. */
  readonly folder: string;
  readonly settings: SignatureSettings;
  readonly memoryBytes: number;
  /** The field that scores a document, where the best one is kept. */
  readonly score: string | undefined;
}

/** Stage 1: the signatures of one file, sorted, a file for each bucket. */
export async function signFile(task: SignaturesTask): Promise<void> {
  const { file, input, folder, settings, score } = task;
  if (readDone(folder, file) !== undefined) return;
  const kernels = textKernels();
  const { a, b } = permutationsOf(settings);
  const { ngram, hash, precision, words } = settings;
  const sorter = new SignatureSorter(settings, folder, file, task.memoryBytes);
  const scores: number[] = [];
  let documents = 0;
  let signed = 0;
  for await (const document of readDocuments(input)) {
    documents++;
    if (score !== undefined) scores.push(scoreOf(document, score, input));
    const signature = kernels.signature(kernelText(document.row.text), ngram, hash, precision, words, a, b);
    if (signature === null) continue;
    signed++;
    await sorter.add(document.number, signature);
  }
  const files = await sorter.finish();
  if (score !== undefined) {
    const name = scoresFile(file);
    const bytes = new Uint8Array(Float64Array.from(scores).buffer);
    await writeFileAtomically(path.join(folder, name), (handle) => handle.writeFile(bytes));
    files.push(name);
  }
  await writeDone(folder, file, { files, counts: { documents, signed } });
}
