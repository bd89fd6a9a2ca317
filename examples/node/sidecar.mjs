// Starts `rung serve` beside a program, and stops it. It ends with the program, however that ends.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const STARTS = 60_000; // milliseconds that a server gets to take requests
const STOPS = 5_000; // milliseconds that it gets to end by itself

/**
 * Start a server on a free port.
 *
 * @param {object} options
 * @param {string[]} [options.command] the command that is `rung`
 * @param {string[]} [options.args] further words for `rung serve`, such as `--config rung.toml`
 * @returns {Promise<{url: string, token: string, pid: number, stop: () => Promise<number | null>}>}
 */
export async function startRung({ command = ["rung"], args = [] } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "rung-"));
  const file = join(folder, "ready.json");
  const [program, ...words] = command;
  const child = spawn(
    program,
    [...words, "serve", "--port", "0", "--ready-file", file, "--parent-pid", `${process.pid}`, "--exit-on-stdin-eof", ...args],
    { stdio: ["pipe", "ignore", "pipe"] },
  );
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (said = (said + text).slice(-2000)));
  const ended = new Promise((resolve) => {
    child.on("error", (error) => resolve(`it can't be started: ${error.message}`));
    child.on("exit", (code) => resolve(code));
  });
  let over = false;
  ended.then(() => (over = true));

  async function stop() {
    child.stdin.end();
    const late = setTimeout(() => child.kill("SIGTERM"), STOPS);
    const code = await ended;
    clearTimeout(late);
    await rm(folder, { recursive: true, force: true });
    return code;
  }

  for (const until = Date.now() + STARTS; Date.now() < until && !over; await pause(50)) {
    // The file is written whole, once requests are taken.
    const text = await readFile(file, "utf8").catch(() => null);
    if (text !== null) {
      const { url, token, pid } = JSON.parse(text);
      return { url, token, pid, stop };
    }
  }
  const code = await stop();
  throw new Error(`rung serve did not start (${code}): ${said.trim()}`);
}
