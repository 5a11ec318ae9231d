import path from "node:path";
import { pathToFileURL } from "node:url";
import { ConfigError } from "../../core/errors.ts";
import type { Step } from "../step.ts";

const kStep = "step.module";

/**
 * A step of your own that workers and pipeline files can use: the default export of `file`, a function that takes the
 * options (JSON) and returns a step, such as filterStep makes. A TypeScript file needs a Node that reads it, or tsx.
 * @throws ConfigError, when it runs, if there is no such file or its default export isn't that.
 */
export function module(file: string, options: Readonly<Record<string, unknown>> = {}): Step {
  const full = path.resolve(file);
  let made: Promise<Step> | undefined;
  return {
    description: { step: kStep, options: { file: full, ...options } },
    async *run(documents, context) {
      made ??= load(full, options);
      yield* (await made).run(documents, context);
    },
  };
}

async function load(file: string, options: Readonly<Record<string, unknown>>): Promise<Step> {
  const refuse = (what: string): ConfigError =>
    new ConfigError(`step.module: ${file} ${what}, a function that returns a step was needed`, "file");
  const { default: make } = (await import(pathToFileURL(file).href).catch((error: Error) => {
    throw new ConfigError(`step.module: ${file} can't be loaded (${error.message})`, "file");
  })) as { default?: unknown };
  if (typeof make !== "function") throw refuse(`has ${make === undefined ? "no" : "another"} default export`);
  const step = (await make(options)) as Step | undefined;
  if (typeof step?.run !== "function") throw refuse("returns no step from its default export");
  return step;
}
