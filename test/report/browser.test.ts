import path from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { writeReport } from "../../lib/report/page.ts";
import type { Report } from "../../lib/report/sections.ts";
import { type Page, whyNoBrowser, withPage } from "../support/browser.ts";
import { fakeReport } from "../support/fake_run.ts";
import { tempDir } from "../support/temp_dir.ts";

const why = whyNoBrowser();
if (why !== undefined) console.warn(`Skipping the report in a browser: ${why}.`);

test.skipIf(why !== undefined)("a report in a browser", async () => {
  await withPage(async (page) => {
    const trouble = listen(page);
    await open(page, fakeReport());
    for (const width of [400, 1400]) {
      await page.setViewportSize({ width, height: 900 });
      // The chart under test is drawn again on resize, by an observer.
      await until(page, `Math.abs(${kCanvas}.clientWidth - ${kCanvas}.closest(".chart").clientWidth) < 2`);
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
      await chartsAreDrawn(page);
    }
    await legendFollowsThePointer(page);
    await legendHidesSeriesByKeyboard(page);
    await heatMapAnswers(page);
    const light = await page.evaluate(kStroke);
    await page.emulateMedia({ colorScheme: "dark" });
    await until(page, `${kStroke} !== ${JSON.stringify(light)}`);
    await chartsAreDrawn(page);
    expect(trouble).toEqual([]);
  });
});

test.skipIf(why !== undefined)("hostile text stays text in a browser", async () => {
  const evil = `</script><script>window.broken = 1</script><img src=x onerror="window.broken = 2">\n\0</div>`;
  await withPage(async (page) => {
    const trouble = listen(page);
    await open(page, {
      title: evil,
      created: new Date(0),
      settings: { [evil]: evil },
      sections: [
        {
          kind: "curves",
          title: evil,
          xLabel: evil,
          yLabel: evil,
          series: [
            {
              name: evil,
              points: [
                [1, 2],
                [2, 3],
              ],
            },
          ],
        },
        { kind: "samples", title: evil, columns: [evil], samples: [{ prompt: evil, texts: [evil] }] },
      ],
    });
    expect(await page.evaluate("window.broken")).toBeUndefined();
    expect(await page.evaluate("document.images.length")).toBe(0);
    expect(await page.textContent(".prompt .words")).toBe(evil.replace("\0", "␀"));
    await chartsAreDrawn(page);
    expect(trouble).toEqual([]);
  });
});

const kCanvas = `document.querySelector(".chart canvas")`;
const kStroke = `document.querySelector(".u-series:last-child .u-marker").style.cssText`;

/** Collects errors of scripts, messages of the console, and requests beyond the one file. */
function listen(page: Page): string[] {
  const trouble: string[] = [];
  page.on("console", (m: { text(): string }) => void trouble.push(`console: ${m.text()}`));
  page.on("pageerror", (e: Error) => void trouble.push(`error: ${e.message}`));
  page.on("request", (r: { url(): string }) => {
    if (!/^(file:.*\.html|data:)/.test(r.url())) trouble.push(`request: ${r.url()}`);
  });
  return trouble;
}

/** Waits until an expression is true. Playwright's own waiting evaluates strings in the page, which its policy forbids. */
async function until(page: Page, expression: string): Promise<void> {
  await expect.poll(() => page.evaluate(expression)).toBe(true);
}

async function open(page: Page, report: Report): Promise<void> {
  const file = path.join(tempDir(), "report.html");
  await writeReport(file, report);
  await page.goto(pathToFileURL(file).href);
}

/** Every chart has a canvas with alternative text, and its plot area shows many pixels of a strong colour. */
async function chartsAreDrawn(page: Page): Promise<void> {
  const charts = await page.evaluate<{ alt: string; pixels: number }[]>(`
    [...document.querySelectorAll(".chart canvas")].map((canvas) => {
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
      copy.drawImage(canvas, 0, 0);
      const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
      let pixels = 0;
      for (let i = 0; i < data.length; i += 4) {
        const spread = Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]);
        if (data[i + 3] > 40 && spread > 50) pixels++;
      }
      return { alt: canvas.getAttribute("aria-label"), pixels };
    })`);
  expect(charts).toHaveLength(await page.evaluate(`document.querySelectorAll("section.curves").length`));
  for (const { alt, pixels } of charts) {
    expect(alt).toMatch(/^Line chart of .* at the end; lowest /s);
    expect(pixels).toBeGreaterThan(150);
  }
}

async function legendFollowsThePointer(page: Page): Promise<void> {
  const legend = ".chart .u-legend";
  const rest = await page.textContent(legend);
  expect(rest).toMatch(/^step1,200training[\d.]+smoothed[\d.]+tiny-shakespeare[\d.]+wordnet[\d.]+$/);
  await page.hover(".chart .u-over", { position: { x: 200, y: 80 } });
  const hovered = await page.textContent(legend);
  expect(hovered).not.toBe(rest);
  expect(hovered).toMatch(/^step\d+training[\d.]+smoothed[\d.]+tiny-shakespeare[\d.]+wordnet[\d.]+$/);
  await page.mouse.move(5, 5);
  expect(await page.textContent(legend)).toBe(rest);
}

async function legendHidesSeriesByKeyboard(page: Page): Promise<void> {
  const button = ".chart .u-series:last-child th";
  const pressed = `document.querySelector("${button}").getAttribute("aria-pressed")`;
  for (const shown of ["false", "true"]) {
    await page.focus(button);
    await page.keyboard.press("Enter");
    await until(page, `${pressed} === "${shown}"`);
  }
}

async function heatMapAnswers(page: Page): Promise<void> {
  await page.hover(".heat tbody tr:nth-child(2) td:nth-of-type(3)");
  expect(await page.textContent(".readout")).toMatch(/^layer 1, expert 2: [\d.]+%, [\d.]+ × balanced$/);
  const cell = ".heat tbody tr:last-child td:last-child";
  const last = await page.textContent(cell);
  await page.fill(".heat input", "0");
  expect(await page.textContent(".heat output")).toBe("step 1");
  expect(await page.textContent(cell)).not.toBe(last);
}
