// What the gateway says about its cameras: GET /api/v1/cameras, again and again.
//
// Event: `change` after each answer and each failure.

import { failureFromResponse } from '/assets/failure.js';
import { request } from '/assets/request.js';

const POLL_MS = 3000;
const TIMEOUT_MS = 5000;

export class CameraFeed extends EventTarget {
  #cameras = null;
  #failure = null;
  #running = false;
  #timer = 0;
  #pending = null;
  #clockOffsetMs = 0;

  // The cameras in config order, or null before the first answer.
  get cameras() {
    return this.#cameras;
  }

  // Why the last question got no answer, or null.
  get failure() {
    return this.#failure;
  }

  // The gateway's clock: `since` is in its time, and a tablet's clock may be minutes off.
  now() {
    return Date.now() + this.#clockOffsetMs;
  }

  // Null while unknown, also while the gateway does not answer: old news is no news.
  find(name) {
    return this.#failure ? null : this.#cameras?.find((camera) => camera.name === name) ?? null;
  }

  start() {
    if (this.#running) return;
    this.#running = true;
    this.refresh();
  }

  stop() {
    this.#running = false;
    clearTimeout(this.#timer);
  }

  refresh() {
    this.#pending ??= this.#poll().finally(() => {
      this.#pending = null;
      clearTimeout(this.#timer);
      if (this.#running) this.#timer = setTimeout(() => this.refresh(), POLL_MS);
    });
    return this.#pending;
  }

  async #poll() {
    try {
      const response = await request('/api/v1/cameras', { headers: { Accept: 'application/json' } }, TIMEOUT_MS);
      if (!response.ok) throw await failureFromResponse(response);
      const date = Date.parse(response.headers.get('Date'));
      if (date) this.#clockOffsetMs = date - Date.now();
      this.#cameras = this.#remember(response.json());
      this.#failure = null;
    } catch (error) {
      this.#failure = error;
    }
    this.dispatchEvent(new Event('change'));
  }

  #remember(cameras) {
    const before = new Map(this.#cameras?.map((camera) => [camera.name, camera]));
    const observedAt = Date.now();
    return cameras.map((camera) => {
      const earlier = before.get(camera.name);
      const isDown = isCameraDown(camera);
      return {
        ...camera,
        isDown,
        // A camera that is tried again and again changes state each time; the outage began with the first.
        downSince: isDown ? earlier?.downSince ?? camera.since : null,
        // When this page first saw it live without a break.
        liveSeenAt: camera.state === 'live' ? earlier?.liveSeenAt ?? performance.now() : null,
        retryAt: camera.retry_in_seconds == null ? null : observedAt + camera.retry_in_seconds * 1000,
      };
    });
  }
}

// `idle` is an on-demand camera asleep, and a first `connecting` has no reason yet: both are normal.
function isCameraDown({ state, reason }) {
  return state === 'backing_off' || state === 'stopped' || (state === 'connecting' && Boolean(reason));
}
