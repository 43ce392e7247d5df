// How long to wait before the next attempt.

const FIRST_MS = 1000;
const CAP_MS = 30_000;

export class Backoff {
  #failures = 0;

  // A Retry-After is the server's floor, never a ceiling.
  next(retryAfterSeconds = 0) {
    const ceiling = Math.min(CAP_MS, FIRST_MS * 2 ** this.#failures);
    this.#failures += 1;
    // Jitter, so that a restarted gateway does not meet all its viewers in the same second.
    const jittered = ceiling * (0.5 + Math.random() / 2);
    const floor = retryAfterSeconds * 1000 * (1 + Math.random() / 10);
    return Math.max(jittered, floor);
  }

  reset() {
    this.#failures = 0;
  }
}
