// Plays a WHEP URL with `camgate play` and says the same as the other clients.
// usage: node play.mjs CAMGATE URL

import { execFile, execFileSync } from "node:child_process";

const [camgate, url] = process.argv.slice(2);
const version = execFileSync(camgate, ["--version"], { encoding: "utf8" }).trim();
execFile(camgate, ["play", url, "--seconds", "6", "--json"], (_, stdout) => {
  const { video, audio, steps, failure } = JSON.parse(stdout);
  const { frames = 0, width = 0, height = 0 } = video ?? {};
  const packets = audio?.packets ?? 0;
  const firstMs = steps.first_keyframe_ms;
  // It does not decode: how loud the sound is it cannot say.
  console.log(JSON.stringify({ version, frames, width, height, packets, firstMs, error: failure?.detail ?? null }));
});
