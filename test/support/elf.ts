import { runTool } from "./run_tool.ts";

/** The libraries that a shared object names. */
export const librariesOf = (file: string): string[] =>
  [...runTool("readelf", ["-d", file]).matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name]) => name!);

/** The newest version of the C library that a shared object asks for, such as "2.34". */
export function glibcOf(file: string): string {
  const versions = [...runTool("readelf", ["-V", file]).matchAll(/Name: GLIBC_(\d+)\.(\d+)/g)];
  const newest = Math.max(...versions.map(([, major, minor]) => Number(major) * 1000 + Number(minor)));
  return `${Math.floor(newest / 1000)}.${newest % 1000}`;
}
