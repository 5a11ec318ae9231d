/** One text on its way through a pipeline. */
export interface Document {
  /** Unique within the pipeline's input: what a reader found, or file and position. */
  readonly id: string;
  /** The page's HTML until `extract.mainText`, its main text after it. */
  readonly text: string;
  /** What is known beside the text, as JSON: `url`, `date`, `language`, `languageScore`, … */
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** What a filter says of a document; a kept one may go on with another text, or more metadata. */
export type Verdict =
  | { readonly keep: true; readonly text?: string; readonly metadata?: Readonly<Record<string, unknown>> }
  | { readonly keep: false; readonly reason: string };
