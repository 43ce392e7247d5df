// Keeps the screen on (W3C Screen Wake Lock): an old phone that locks itself is a camera no more.

export class WakeLock {
  #isWanted = false;
  #lock = null;
  #isAsking = false;

  constructor() {
    // Browsers take it away from pages out of sight, and do not give it back by themselves.
    document.addEventListener('visibilitychange', () => this.#ask());
  }

  static get isSupported() {
    return 'wakeLock' in navigator;
  }

  want(isWanted) {
    this.#isWanted = isWanted;
    if (isWanted) this.#ask();
    else this.#lock?.release().catch(() => {});
  }

  async #ask() {
    if (!this.#isWanted || this.#lock || this.#isAsking || !WakeLock.isSupported) return;
    if (document.visibilityState !== 'visible') return;
    this.#isAsking = true;
    try {
      this.#lock = await navigator.wakeLock.request('screen');
      this.#lock.addEventListener('release', () => { this.#lock = null; });
      if (!this.#isWanted) this.#lock.release().catch(() => {});
    } catch {
      // A battery that runs low; asked again when the page is seen again.
    } finally {
      this.#isAsking = false;
    }
  }
}
