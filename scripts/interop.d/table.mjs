// One row of the table out of a client's measurements and what the proxy saw of it.
// usage: node table.mjs NAME MEASURED.json PROXY.log [what the client cannot do]; exits with 1 when picture or sound is missing

import { readFileSync } from "node:fs";

const [name, measured, log, cannot = ""] = process.argv.slice(2);
const read = (file) => {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "";
  }
};
let seen;
try {
  seen = JSON.parse(read(measured).split("\n").at(-1));
} catch {
  seen = { error: "it said nothing" };
}
const requests = read(log).split("\n").filter(Boolean).map((line) => JSON.parse(line));
const of = (method) => requests.filter((request) => request.method === method);

const picture = seen.frames > 0 && seen.width > 0;
// The test pattern beeps with 0.2 of full scale for a tenth of each second; silence has neither peak nor energy.
const audible = seen.peak === undefined || seen.peak > 0.02 || seen.energy > 0.001;
const sound = seen.packets > 0 && audible;
const trickled = of("PATCH").filter((request) => request.status === 204).length;
const posted = of("POST").find((request) => request.status === 201);
const candidates = posted ? `${posted.candidates} in the offer` : "no session";
const energy = seen.energy === undefined ? "" : `, energy ${seen.energy.toFixed(3)}`;
const loud = seen.peak ? `, peak ${seen.peak.toFixed(2)}` : energy;
const cells = [
  name,
  seen.version ?? "?",
  picture ? `${seen.frames} frames, ${seen.width}x${seen.height}` : "**none**",
  sound ? `${seen.packets} packets${loud}` : seen.packets > 0 ? `**silent** (${seen.packets} packets)` : "**none**",
  seen.firstMs ? `${Math.round(seen.firstMs)} ms` : "-",
  trickled ? `yes (${candidates}, ${trickled} PATCH)` : `no (${candidates})`,
  of("DELETE").some((request) => request.status === 200) ? "yes" : "no",
  [cannot, seen.error].filter(Boolean).join("; "),
];
console.log(`| ${cells.map((cell) => String(cell).replaceAll("|", "/").replaceAll("\n", " ")).join(" | ")} |`);
process.exit(picture && sound ? 0 : 1);
