// Plays a WHEP URL with a GStreamer element and says what came out of its decoders.
// usage: node gstreamer.mjs whepsrc|whepclientsrc URL

import { spawn, execFileSync } from "node:child_process";
import { createInterface } from "node:readline";

const WATCH_MS = 8000;
const LIMIT_MS = 30000;

const [element, url] = process.argv.slice(2);
const launch = {
  // Gives RTP, the sound first, as in its offer.
  whepsrc: `whepsrc name=s whep-endpoint=${url}
    video-caps=application/x-rtp,media=video,encoding-name=H264,payload=103,clock-rate=90000
    s.src_1 ! queue ! rtph264depay ! avdec_h264 ! identity name=picture silent=false ! fakesink
    s.src_0 ! queue ! rtpopusdepay ! opusdec ! level name=loudness interval=500000000 ! identity name=sound silent=false ! fakesink`,
  // Decodes by itself.
  whepclientsrc: `whepclientsrc name=s signaller::whep-endpoint=${url} stun-server=""
    s. ! video/x-raw(ANY) ! queue ! identity name=picture silent=false ! fakesink
    s. ! audio/x-raw ! queue ! level name=loudness interval=500000000 ! identity name=sound silent=false ! fakesink`,
}[element];

const plugin = element === "whepsrc" ? "webrtchttp" : "rswebrtc";
const inspected = execFileSync("gst-inspect-1.0", [plugin], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
const version = `gst-plugins-rs ${inspected.match(/Version\s+([\d.]+)/)?.[1]}, ${execFileSync("gst-inspect-1.0", ["--version"], { encoding: "utf8" }).match(/GStreamer \S+/)}`;
const seen = { version, frames: 0, width: 0, height: 0, packets: 0, peak: 0, firstMs: null, error: null };
const begin = Date.now();
const child = spawn("gst-launch-1.0", ["-v", "-m", ...launch.split(/\s+/).filter(Boolean)], {
  stdio: ["ignore", "pipe", "pipe"],
  env: { ...process.env, GST_DEBUG_NO_COLOR: "1" },
});
const end = () => child.kill("SIGINT");
setTimeout(end, LIMIT_MS);
createInterface({ input: child.stdout }).on("line", (line) => {
  if (line.includes("picture") && line.includes("chain ")) {
    seen.frames += 1;
    if (seen.firstMs === null) {
      seen.firstMs = Date.now() - begin;
      setTimeout(end, WATCH_MS);
    }
  }
  if (line.includes("sound") && line.includes("chain ")) seen.packets += 1;
  const size = line.match(/identity.*picture.*caps = video\/x-raw.*width=\(int\)(\d+), height=\(int\)(\d+)/)
    ?? line.match(/picture.*video\/x-raw.*width=\(int\)(\d+), height=\(int\)(\d+)/);
  if (size) [seen.width, seen.height] = size.slice(1).map(Number);
  const peak = line.match(/level, .* peak=[^{<]*[{<] ?(?:\(double\))?(-?[\d.]+)/);
  if (peak) seen.peak = Math.max(seen.peak, 10 ** (Number(peak[1]) / 20));
  const error = line.match(/ERROR.*?: (.*)/);
  if (error) seen.error ??= error[1];
});
createInterface({ input: child.stderr }).on("line", (line) => {
  const error = line.match(/^ERROR: (.*)|erroneous pipeline: (.*)/);
  if (error) seen.error ??= error[1] ?? error[2];
});
child.on("close", () => {
  console.log(JSON.stringify(seen));
  process.exit();
});
