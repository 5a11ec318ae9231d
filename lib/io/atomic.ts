import { type FileHandle, mkdir, open, readdir, rename, rm, rmdir } from "node:fs/promises";
import path from "node:path";
import { withPath } from "./system_error.ts";

let serial = 0;

/** Largest single read or write: the operating system and Node both stop below 2 GiB. */
export const kIoBytes = 2 ** 30;

/**
 * Writes `file` so that a reader, at any time and after any crash, sees the old content or the new, never a part:
 * `write` fills a temporary file in the same folder, which is flushed to disk and renamed. If anything fails (a full
 * disk, an exception in `write`), the temporary file is removed, the old file stays, and the error is thrown on.
 */
export async function writeFileAtomically(
  file: string,
  write: (handle: FileHandle) => Promise<void>,
): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  const temporary = temporaryName(file);
  try {
    const handle = await open(temporary, "w");
    try {
      await write(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw withPath(error, file);
  }
  await syncFolder(path.dirname(file));
}

/**
 * Writes a folder as a whole: `write` fills a temporary folder beside it, every file is flushed, then
 * - `dir` does not exist, or is empty: the folder is renamed into place in one step;
 * - `dir` has files: each new file is renamed over its old one, other files stay, except those whose name `obsolete`
 *   accepts (shards of an older save, say), which go last. A crash between two renames leaves complete files of both.
 * If `write` fails, the temporary folder is removed, `dir` is as it was, and the error is thrown on.
 */
export async function writeFolderAtomically(
  dir: string,
  write: (temporary: string) => Promise<void>,
  obsolete: (name: string) => boolean = () => false,
): Promise<void> {
  const target = path.resolve(dir);
  const temporary = temporaryName(target);
  try {
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary, { recursive: true });
    await write(temporary);
    const files = await filesUnder(temporary);
    for (const file of files) await syncFile(path.join(temporary, file));
    await syncFolder(temporary);
    const old = await filesUnder(target);
    if (old.length === 0) {
      await rmdir(target).catch(ignoreMissing);
      await rename(temporary, target);
    } else {
      for (const file of files) {
        await mkdir(path.dirname(path.join(target, file)), { recursive: true });
        await rename(path.join(temporary, file), path.join(target, file));
      }
      for (const file of old) if (obsolete(file) && !files.includes(file)) await rm(path.join(target, file));
      await rm(temporary, { recursive: true });
      await syncFolder(target);
    }
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw withPath(error, target);
  }
  await syncFolder(path.dirname(target));
}

/** Writes all of `bytes` at the handle's position; one call of the system may write less than it was given. */
export async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await handle.write(bytes, done, Math.min(kIoBytes, bytes.length - done))).bytesWritten;
  }
}

function temporaryName(file: string): string {
  return `${file}.tmp-${process.pid}-${serial++}`;
}

/** Paths of all files below `dir`, relative to it; none if there is no such folder. */
async function filesUnder(dir: string): Promise<string[]> {
  const entries = (await readdir(dir, { recursive: true, withFileTypes: true }).catch(ignoreMissing)) ?? [];
  return entries
    .filter((e) => !e.isDirectory())
    .map((e) => path.relative(dir, path.join(e.parentPath, e.name)));
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

async function syncFile(file: string): Promise<void> {
  const handle = await open(file, "r+");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a rename inside `dir` survive a power cut. Windows has no such call, and journals renames itself. */
export async function syncFolder(dir: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(dir, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
