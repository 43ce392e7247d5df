// Opens a page in a browser and says what it plays.
// usage: node browser.mjs chromium|firefox URL

import { readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";

// Installed under target/, not beside this file.
const require = createRequire(path.join(process.env.INTEROP_WORK, "package.json"));
const puppeteer = require("puppeteer-core");

const WATCH_MS = 5000;
const PICTURE_LIMIT_MS = 20000;

const [kind, url] = process.argv.slice(2);
const firefox = kind === "firefox";
const browser = await puppeteer.launch({
  browser: firefox ? "firefox" : "chrome",
  executablePath: firefox ? "/usr/bin/firefox-esr" : "/usr/bin/chromium",
  headless: true,
  args: firefox
    ? []
    : ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required", "--no-first-run"],
  extraPrefsFirefox: {
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    // With a plugin that claims H.264, decoding is done by the system's libavcodec.
    "media.navigator.mediadatadecoder_h264_enabled": true,
    "media.gmp.decoder.enabled": false,
  },
});
let error = null;
let result = {};
try {
  const page = await browser.newPage();
  const probe = await readFile(new URL("probe.js", import.meta.url), "utf8");
  await page.evaluateOnNewDocument(`(${probe.slice(probe.indexOf("() =>")).trim().replace(/;$/, "")})()`);
  await page.goto(url);
  await page.waitForFunction("window.interop?.shown", { timeout: PICTURE_LIMIT_MS }).catch(() => {});
  result = await page.evaluate(`interop.measure(${WATCH_MS})`);
  // As when a person goes elsewhere: the player may end its session.
  await page.goto("about:blank");
} catch (caught) {
  error = String(caught).split("\n")[0];
}
console.log(JSON.stringify({ version: await browser.version(), ...result, error }));
await Promise.race([browser.close(), new Promise((done) => setTimeout(done, 5000))]);
process.exit();
