// Publishes a moving picture and a tone with GStreamer's WHIP element and says what `camgate play` sees of it.
// usage: node publish.mjs CAMGATE WHIP_URL WHEP_URL

import { spawn, execFile, execFileSync } from "node:child_process";

const [camgate, whip, whep] = process.argv.slice(2);
const launch = `whipclientsink name=out signaller::whip-endpoint=${whip} stun-server=""
  videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1 ! out.
  audiotestsrc is-live=true ! out.`;

const said = (program, argument) => execFileSync(program, [argument], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
const version = `gst-plugins-rs ${said("gst-inspect-1.0", "rswebrtc").match(/Version\s+([\d.]+)/)?.[1]}, ${said("gst-inspect-1.0", "--version").match(/GStreamer \S+/)}`;
const publisher = spawn("gst-launch-1.0", launch.split(/\s+/), { stdio: "ignore" });
const ended = new Promise((resolve) => publisher.on("close", resolve));
// Waits for the publisher, as any viewer of a camera that is not there yet.
execFile(camgate, ["play", whep, "--seconds", "8", "--timeout", "30", "--json"], async (_, stdout) => {
  publisher.kill("SIGINT");
  await ended;
  const { video, audio, steps, failure } = JSON.parse(stdout);
  const { frames = 0, width = 0, height = 0 } = video ?? {};
  const firstMs = steps.first_keyframe_ms;
  console.log(JSON.stringify({ version, frames, width, height, packets: audio?.packets ?? 0, firstMs, error: failure?.detail ?? null }));
});
