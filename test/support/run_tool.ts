import { spawnSync } from "node:child_process";

/** Runs a program and returns what it printed. If it fails, the error says all of it. */
export function runTool(
  command: string,
  words: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): string {
  const { status, stdout, stderr, error } = spawnSync(command, words, { ...options, encoding: "utf8" });
  if (error !== undefined) throw error;
  if (status !== 0)
    throw new Error(`${command} ${words.join(" ")} ended with ${status}:\n${stdout}${stderr}`);
  return stdout;
}
