/**
 * npx tsx bench/debian_crawl.ts [--out DIR] [--megabytes N]
 *
 * Records a crawl to measure the web-text pipeline with: the HTML pages of five of Debian's documentation packages
 * (about 6,740), served here and fetched by GNU wget, which writes DIR/debian-00000.warc.gz and so on of N megabytes
 * (default 20). Pages keep their URL from run to run: `http://<package>.test/<path>`, wget is told to ask us for all hosts.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

const kPackages = [
  "debian-handbook",
  "installation-guide-amd64",
  "python3.11-doc",
  "anarchism",
  "postgresql-doc-15",
];
const kRoot = "/usr/share/doc";

const { values } = parseArgs({
  options: {
    out: { type: "string", default: "runs/debian_crawl" },
    megabytes: { type: "string", default: "20" },
  },
});
if (!(Number(values.megabytes) >= 1))
  throw new Error(`--megabytes is ${values.megabytes}: a number from 1 was needed`);

/** Package and path of every page, in a fixed order; links are followed, the same page is listed once. */
async function pages(): Promise<string[]> {
  const found: string[] = [];
  const missing: string[] = [];
  for (const name of kPackages) {
    const files = await readdir(path.join(kRoot, name, "."), { recursive: true }).catch(() => []);
    const html = files.filter((file) => file.endsWith(".html")).sort();
    if (html.length === 0) missing.push(name);
    found.push(...html.map((file) => `${name}.test/${file}`));
  }
  if (missing.length > 0)
    throw new Error(
      `${kRoot} lacks the pages of ${missing.join(", ")}. Run: apt-get install ${missing.join(" ")}`,
    );
  return found;
}

const list = await pages();
const server = createServer((request, response) => {
  const { hostname, pathname } = new URL(request.url!);
  const file = path.join(
    kRoot,
    hostname.replace(/\.test$/, ""),
    path.normalize(decodeURIComponent(pathname)),
  );
  readFile(file).then(
    (body) => response.writeHead(200, { "content-type": "text/html" }).end(body),
    (error: Error) => response.writeHead(404, { "content-type": "text/plain" }).end(error.message),
  );
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
const address = server.address();
if (address === null || typeof address === "string") throw new Error("the server has no port");

await mkdir(values.out, { recursive: true });
const folder = await mkdtemp(path.join(tmpdir(), "debian-crawl-"));
try {
  const urls = path.join(folder, "urls.txt");
  await writeFile(urls, list.map((page) => `http://${encodeURI(page)}\n`).join(""));
  const wget = spawn(
    "wget",
    [
      `--input-file=${urls}`,
      "--execute=robots=off",
      "--no-verbose",
      `--execute=http_proxy=http://127.0.0.1:${address.port}`,
      `--warc-file=${path.resolve(values.out, "debian")}`,
      `--warc-max-size=${values.megabytes}M`,
      "--force-directories",
      "--delete-after",
      `--directory-prefix=${folder}`,
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let told = "";
  wget.stderr.on("data", (data: Buffer) => {
    told = (told + data.toString()).slice(-2000);
  });
  const [code] = await once(wget, "close");
  if (code !== 0) throw new Error(`wget ended with ${code}: ${told}`);
} finally {
  server.close();
  await rm(folder, { recursive: true, force: true });
}
const files = (await readdir(values.out)).filter((file) => file.endsWith(".warc.gz"));
console.log(`${list.length} pages in ${files.length} files in ${values.out}`);
