// What the gateway says about its cameras, kept up to date by its events.
//
// Event: `change` after each piece of news and each failure.

import { openCameraEvents } from './events.js';
import { Failure } from './failure.js';

export class CameraFeed extends EventTarget {
  #cameras = null;
  #failure = null;
  #close = null;
  #clockOffsetMs = 0;

  // The cameras in config order, or null before the first news.
  get cameras() {
    return this.#cameras;
  }

  // Why there is no news, or null.
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
    this.#close ??= openCameraEvents((news) => this.#onNews(news));
  }

  stop() {
    this.#close?.();
    this.#close = null;
  }

  // `age`: how long ago another page of this browser heard it, in milliseconds.
  #onNews({ failed = false, loginNeeded = false, now, cameras, age = 0 }) {
    if (!this.#close) return;
    if (failed) {
      this.#failure = new Failure(loginNeeded ? 'login-needed' : 'gateway-unreachable');
    } else {
      const heardAt = Date.now() - age;
      this.#clockOffsetMs = now - heardAt;
      this.#cameras = this.#remember(cameras, heardAt);
      this.#failure = null;
    }
    this.dispatchEvent(new Event('change'));
  }

  #remember(cameras, heardAt) {
    const before = new Map(this.#cameras?.map((camera) => [camera.name, camera]));
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
        retryAt: camera.retry_in_seconds == null ? null : heardAt + camera.retry_in_seconds * 1000,
      };
    });
  }
}

// `idle` is an on-demand camera asleep, and a first `connecting` has no reason yet: both are normal.
function isCameraDown({ state, reason }) {
  return state === 'backing_off' || state === 'stopped' || (state === 'connecting' && Boolean(reason));
}
