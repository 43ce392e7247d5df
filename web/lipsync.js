// Holds a picture back until its sound is heard.
//
// A browser shows a picture as soon as it is decoded, while sound waits in a jitter buffer and in the audio device. Its own
// synchronisation begins after seconds, moves slowly, and is content with 30 ms that are left.

// What sound takes in a browser, in its jitter buffer and its device, before it is measured. Measured in Chromium.
const BROWSER_MS = 80;
// How much later it leaves the gateway, before that is known: of a camera that only starts, and of sound that is made into
// Opus and has no listener yet.
const UNKNOWN_LAG_MS = 20;
const TRANSCODED_LAG_MS = 60;
// More would be a broken clock, not a slow path.
const MAX_HOLD_MS = 500;
// Differences that nobody notices are left alone: every change is a picture shown too long or not at all. Those are further
// apart than this: a camera whose audio clock is 100 ppm fast drifts by 20 ms before Chromium's jitter buffer catches up.
const CLOSE_MS = 8;
// An estimate is of the last picture and the last packet: one alone is off by up to a packet's length.
const SERIES = 5;
// A jitter buffer that empties or fills moves by more from the begin of a series to its end; that ends by itself.
const STEADY_MS = 25;
// Often at first and after a change, then seldom.
const QUICK_LOOKS = 25;
const QUICK_MS = 200;
const SLOW_MS = 500;
// Pictures that are on their way keep their time.
const SETTLING_MS = 400;

export class LipSync {
  #stats;
  #receiver = null;
  #lag = UNKNOWN_LAG_MS;
  #isOn = false;
  #hold = 0;
  #series = [];
  #looks = 0;
  #timer = 0;

  // stats: gives a promise of the session's RTCStatsReport, or of null.
  constructor(stats) {
    this.#stats = stats;
  }

  // Milliseconds by which the picture is held back at least.
  get hold() {
    return this.#hold;
  }

  // receiver: RTCRtpReceiver of the newest picture; audio: what the gateway says about the camera's sound, if it does.
  receive(receiver, audio) {
    this.#receiver = receiver;
    this.#lag = audio ? audio.lag_ms ?? TRANSCODED_LAG_MS : UNKNOWN_LAG_MS;
    this.#start();
  }

  // Whether sound is heard; without it there is nothing to wait for.
  listen(isOn) {
    if (isOn === this.#isOn) return;
    this.#isOn = isOn;
    this.#start();
  }

  #start() {
    clearTimeout(this.#timer);
    this.#set(this.#isOn ? BROWSER_MS + this.#lag : 0);
    if (this.#isOn) this.#lookAfter(QUICK_MS);
  }

  #set(milliseconds) {
    this.#hold = Math.min(Math.max(Math.round(milliseconds), 0), MAX_HOLD_MS);
    this.#series = [];
    this.#looks = 0;
    // Not every browser has it.
    if (this.#receiver && 'jitterBufferTarget' in this.#receiver) this.#receiver.jitterBufferTarget = this.#hold;
  }

  #lookAfter(milliseconds) {
    this.#timer = setTimeout(() => this.#look(), milliseconds);
  }

  async #look() {
    const timer = this.#timer;
    // The connection may close under the question.
    const report = await this.#stats().catch(() => null);
    if (timer !== this.#timer) return;
    this.#looks += 1;
    const hasChanged = this.#judge(report && measured(report));
    this.#lookAfter(hasChanged ? SETTLING_MS : this.#looks < QUICK_LOOKS ? QUICK_MS : SLOW_MS);
  }

  // Takes the next measurement; answers whether the hold has changed.
  #judge(now) {
    if (!now) {
      this.#series = [];
      return false;
    }
    this.#series.push(now);
    if (this.#series.length < SERIES) return false;
    const [before] = this.#series;
    const late = this.#series.map((sample) => sample.late);
    const middle = [...late].sort((a, b) => a - b)[Math.floor(SERIES / 2)];
    const drift = (late.at(-1) + late.at(-2) - late[0] - late[1]) / 2;
    this.#series = [];
    if (Math.abs(middle) <= CLOSE_MS || Math.abs(drift) > STEADY_MS) return false;
    // The browser may wait longer than it is asked to, and then less of a hold does nothing.
    const hold = Math.max(this.#hold, targetBetween(before, now) ?? 0) + middle;
    if (hold <= 0 && this.#hold === 0) return false;
    this.#set(hold);
    return true;
  }
}

// `late` milliseconds after a picture its sound is played, as the browser estimates it from both streams' sender reports;
// null before it does.
function measured(report) {
  const inbound = {};
  for (const entry of report.values()) {
    if (entry.type === 'inbound-rtp') inbound[entry.kind] = entry;
  }
  const { audio, video } = inbound;
  const late = video?.estimatedPlayoutTimestamp - audio?.estimatedPlayoutTimestamp;
  if (Number.isNaN(late)) return null;
  return { late, target: video.jitterBufferTargetDelay, emitted: video.jitterBufferEmittedCount };
}

// Milliseconds that the browser meant to hold the pictures between two measurements.
function targetBetween(before, now) {
  const pictures = now.emitted - before.emitted;
  return pictures > 0 ? (1000 * (now.target - before.target)) / pictures : null;
}
