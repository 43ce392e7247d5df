// What the gateway tells about its cameras as it happens: GET /api/v1/events.
//
//   const close = openCameraEvents((news) => ...);   // { now, cameras } or { failed: true, loginNeeded }
//
// All pages of a browser share one connection: it allows six to a host, and a wall of frames with /watch pages of cameras
// that are away would use them up.

import { at } from './base.js';
import { needsLogin } from './user.js';

const AGAIN_MS = 2000;

export function openCameraEvents(listen) {
  try {
    return openShared(listen);
  } catch {
    // Chrome for Android has no shared workers, a sandboxed frame must not have one.
    return openOwn(listen);
  }
}

function openOwn(listen) {
  const events = new CameraEvents(listen);
  return () => events.close();
}

function openShared(listen) {
  const worker = new SharedWorker(at('/assets/events-worker.js'), { type: 'module' });
  let close = () => {
    worker.port.postMessage('close');
    worker.port.close();
  };
  worker.port.onmessage = ({ data }) => listen(data);
  // Its script did not load.
  worker.onerror = () => {
    worker.port.close();
    worker.onerror = null;
    close = openOwn(listen);
  };
  return () => close();
}

// The connection itself; it comes back by itself.
export class CameraEvents {
  #listen;
  #source = null;
  #timer = 0;
  #cameras = [];

  constructor(listen) {
    this.#listen = listen;
    this.#open();
  }

  close() {
    clearTimeout(this.#timer);
    this.#source.close();
  }

  #open() {
    const source = new EventSource(at('/api/v1/events'));
    this.#source = source;
    source.addEventListener('cameras', ({ data }) => {
      const { now, cameras } = JSON.parse(data);
      this.#cameras = cameras;
      this.#tell(now);
    });
    source.addEventListener('camera', ({ data }) => {
      const { now, camera } = JSON.parse(data);
      this.#cameras = this.#cameras.map((known) => (known.name === camera.name ? camera : known));
      this.#tell(now);
    });
    source.addEventListener('error', async () => {
      this.#listen({ failed: true });
      // An answer with an error ends an EventSource for good.
      if (source.readyState !== EventSource.CLOSED) return;
      this.#timer = setTimeout(() => this.#open(), AGAIN_MS);
      if (await needsLogin() && this.#source === source) this.#listen({ failed: true, loginNeeded: true });
    });
  }

  #tell(now) {
    this.#listen({ now: Date.parse(now), cameras: this.#cameras });
  }
}
