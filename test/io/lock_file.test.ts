import { execFile } from "node:child_process";
import { existsSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { takeLock } from "../../lib/io/lock_file.ts";
import { tempDir } from "../support/temp_dir.ts";

/** Takes a lock that has to be free. */
async function taken(file: string): Promise<() => Promise<void>> {
  const lock = await takeLock(file);
  if ("release" in lock) return lock.release;
  throw new Error(`${lock.holder} has it`);
}

test("a lock keeps this process out too, until it is given back", async () => {
  const file = path.join(tempDir(), "below/a.lock");
  const release = await taken(file);
  expect(await takeLock(file)).toEqual({ holder: `process ${process.pid}`, pid: process.pid });
  await release();
  expect(existsSync(file)).toBe(false);
  await (await taken(file))();
});

test("of many that ask at once, one gets it", async () => {
  const file = path.join(tempDir(), "a.lock");
  const locks = await Promise.all(Array.from({ length: 20 }, () => takeLock(file)));
  expect(locks.filter((lock) => "release" in lock)).toHaveLength(1);
});

test("a lock of a process on this machine holds while that lives", async () => {
  const file = path.join(tempDir(), "a.lock");
  writeFileSync(file, `${process.ppid} ${hostname()}\n`);
  expect(await takeLock(file)).toEqual({ holder: `process ${process.ppid}`, pid: process.ppid });
  for (const gone of [`4194304 ${hostname()}\n`, "4194304\n", `${process.pid} ${hostname()}\n`, ""]) {
    writeFileSync(file, gone);
    await (await taken(file))();
  }
});

test("a lock of another machine holds while its file is touched", async () => {
  const file = path.join(tempDir(), "a.lock");
  writeFileSync(file, "17 elsewhere\n");
  expect(await takeLock(file)).toEqual({ holder: "process 17 of elsewhere", pid: 17 });
  const before = new Date(Date.now() - 120_000);
  utimesSync(file, before, before);
  await (await taken(file))();
});

test("of several processes that find a stale lock, one gets it", async () => {
  const lockFile = path.resolve(import.meta.dirname, "../../dist/io/lock_file.js");
  const program = `
    import { takeLock } from ${JSON.stringify(pathToFileURL(lockFile).href)};
    while (Date.now() < Number(process.argv[2])) {}
    const lock = await takeLock(process.argv[1]);
    console.log("release" in lock ? "got" : "held");
    setTimeout(() => {}, 3000);`;
  for (let round = 0; round < 3; round++) {
    const file = path.join(tempDir(), "a.lock");
    writeFileSync(file, `4194304 ${hostname()}\n`);
    const start = String(Date.now() + 1500);
    const said = await Promise.all(
      Array.from(
        { length: 4 },
        () =>
          new Promise<string>((resolve, reject) => {
            const args = ["--input-type=module", "--eval", program, file, start];
            execFile(process.execPath, args, (error, stdout) =>
              error ? reject(error) : resolve(stdout.trim()),
            );
          }),
      ),
    );
    expect(said.sort()).toEqual(["got", "held", "held", "held"]);
  }
}, 120_000);
