// Shows how loud a stream is, while it is heard: the proof that a silent camera is silent and not broken.

// Ten times a second is smooth enough to read and costs nothing.
const INTERVAL_MS = 100;
// Softer than this is shown as silence.
const FLOOR_DB = -60;

// A short sound is seen for half a second.
const DECAY = 0.1;

export class LevelMeter {
  #element;
  #context = null;
  #source = null;
  #analyser = null;
  #samples = null;
  #timer = 0;
  #stream = null;

  constructor(element) {
    this.#element = element;
  }

  // stream: what is heard, or null for nothing.
  watch(stream) {
    if (stream === this.#stream) return;
    this.#stop();
    this.#stream = stream;
    this.#element.hidden = !stream;
    if (!stream) return;
    this.#context ??= new AudioContext();
    // Without a click before, browsers keep it suspended; the meter then stays at rest.
    this.#context.resume().catch(() => {});
    this.#analyser = this.#context.createAnalyser();
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#source = this.#context.createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
    this.#timer = setInterval(() => this.#render(), INTERVAL_MS);
  }

  #stop() {
    clearInterval(this.#timer);
    this.#source?.disconnect();
    this.#source = null;
    this.#element.value = 0;
    if (!this.#stream) return;
    // A running context keeps the sound card awake.
    this.#context.suspend().catch(() => {});
  }

  #render() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, sample) => sum + sample * sample, 0) / this.#samples.length;
    const db = 10 * Math.log10(power || Number.MIN_VALUE);
    this.#element.value = Math.max(0, 1 - db / FLOOR_DB, this.#element.value - DECAY);
  }
}
