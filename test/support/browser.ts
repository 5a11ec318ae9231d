import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { tempDir } from "./temp_dir.ts";

/** What the tests use of playwright-core, which may be missing: a page of Debian's chromium. */
export interface Page {
  goto(url: string): Promise<unknown>;
  setViewportSize(size: { width: number; height: number }): Promise<void>;
  emulateMedia(media: { colorScheme: "light" | "dark" }): Promise<void>;
  evaluate<T>(script: string): Promise<T>;
  hover(selector: string, options?: { position: { x: number; y: number } }): Promise<void>;
  fill(selector: string, value: string): Promise<void>;
  textContent(selector: string): Promise<string | null>;
  focus(selector: string): Promise<void>;
  keyboard: { press(key: string): Promise<void> };
  mouse: { move(x: number, y: number): Promise<void> };
  on(event: "console" | "pageerror" | "request", listener: (what: never) => void): void;
}

interface Context {
  pages(): Page[];
  close(): Promise<void>;
}

interface Playwright {
  chromium: { launchPersistentContext(dir: string, options: object): Promise<Context> };
}

const kChromium = "/usr/bin/chromium";
const kFlags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Why there is no browser to test with; undefined if there is one. */
export function whyNoBrowser(): string | undefined {
  if (!existsSync(kChromium)) return `${kChromium} is missing (apt-get install chromium)`;
  return playwrightFile() === undefined ? "playwright-core is missing (npm install)" : undefined;
}

/** Opens chromium with a profile of its own, runs `use` and closes it. */
export async function withPage(use: (page: Page) => Promise<void>): Promise<void> {
  const { chromium } = (await import(playwrightFile()!)) as Playwright;
  const context = await chromium.launchPersistentContext(tempDir(), {
    executablePath: kChromium,
    headless: true,
    args: kFlags,
    viewport: { width: 1400, height: 900 },
  });
  try {
    await use(context.pages()[0]!);
  } finally {
    await context.close();
  }
}

function playwrightFile(): string | undefined {
  try {
    return createRequire(import.meta.url).resolve("playwright-core");
  } catch {
    return undefined;
  }
}
