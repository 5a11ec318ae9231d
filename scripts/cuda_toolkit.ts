/** What build:cuda needs, found before anything is compiled. */
import { spawnSync } from "node:child_process";

/** Code for capability 8.0, 8.6, 8.9, 9.0, and PTX for what came later. */
const allArchitectures = "80-real;86-real;89-real;90-real;90-virtual";

/** The compiler and the architectures that a build is to use. Throws an Error with what is missing, and the way out. */
export function findToolkit(env = process.env): { nvcc: string; architectures: string } {
  const nvcc = findNvcc(env);
  ask("cmake", ["--version"], env, "Install it");
  const known = ask(nvcc, ["--list-gpu-arch"], env, "");
  return { nvcc, architectures: architectures(env.CUDAARCHS || allArchitectures, known, env) };
}

/** CUDACXX, as for CMake; else nvcc in PATH, or where NVIDIA's packages put it. */
function findNvcc(env: NodeJS.ProcessEnv): string {
  const places = env.CUDACXX ? [env.CUDACXX] : ["nvcc", "/usr/local/cuda/bin/nvcc"];
  const there = places.find((place) => spawnSync(place, ["--version"], { env }).error === undefined);
  const wayOut = "CUDACXX=<path of nvcc> names another one; CUDA's toolkit 13 or newer is needed";
  if (there === undefined) throw new Error(`${places.join(" and ")} not found. ${wayOut}`);
  const [, version] = /release (\d+\.\d+)/.exec(ask(there, ["--version"], env, wayOut)) ?? [];
  if (!(Number(version) >= 13))
    throw new Error(`${there} is of version ${version ?? "unknown"}, 13.0 or newer was needed. ${wayOut}`);
  return there;
}

/** What a tool prints. */
function ask(tool: string, words: readonly string[], env: NodeJS.ProcessEnv, wayOut: string): string {
  const { status, signal, stdout, stderr, error } = spawnSync(tool, words, { env, encoding: "utf8" });
  const what = [tool, ...words].join(" ");
  if (error !== undefined) throw new Error(`${tool} not found (${error.message}). ${wayOut}`);
  if (status === 0) return stdout;
  throw new Error(
    `${what} ended with ${signal ?? status}: ${(stderr || stdout).trim().split("\n")[0]}. ${wayOut}`,
  );
}

/** CUDAARCHS, each checked: the kernels need 8.0, and nvcc knows what it knows. "native" is this machine's. */
function architectures(asked: string, known: string, env: NodeJS.ProcessEnv): string {
  if (asked === "native") return native(known, env);
  const numbers = [...known.matchAll(/compute_(\d+)/g)].map(([, number]) => number!);
  for (const one of asked.split(";")) {
    const [, number] = /^(\d+)(-real|-virtual)?$/.exec(one) ?? [];
    if (number === undefined || Number(number) < 80 || !numbers.includes(number))
      throw new Error(
        `CUDAARCHS has "${one}", needed are 80 or more as nvcc knows it (${numbers.join(" ")}), ` +
          'with ; between them and -real or -virtual behind, or not. For example: CUDAARCHS="80-real;90"',
      );
  }
  return asked;
}

function native(known: string, env: NodeJS.ProcessEnv): string {
  const words = ["--query-gpu=compute_cap", "--format=csv,noheader"];
  const { status, stdout } = spawnSync("nvidia-smi", words, { env, encoding: "utf8" });
  const found = status === 0 ? [...new Set(stdout.trim().split("\n"))] : [];
  if (found.length === 0)
    throw new Error(
      "CUDAARCHS is native, and nvidia-smi shows no GPU here. Name its capability: CUDAARCHS=90 for 9.0",
    );
  return architectures(found.map((one) => `${one.trim().replace(".", "")}-real`).join(";"), known, env);
}
