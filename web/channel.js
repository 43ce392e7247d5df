// The data channel of a session (docs/data-channel.md): what the gateway tells of the camera, and files, over the connection that
// the picture comes by.
//
//   const channel = new Channel(connection);       // before the offer
//   channel.addEventListener('state', () => channel.state);
//   channel.pause(['video']);
//   const { blob, name } = await channel.file('clip', { seconds: 10 }, (share) => ...);
//
// A gateway that knows no such channel leaves it closed, and everything goes on without.

import { Failure } from './failure.js';

const VERSION = 1;
const LABEL = 'camgate';

export class Channel extends EventTarget {
  #channel;
  #state = null;
  #files = new Map();
  // The file whose pieces come.
  #current = null;
  #count = 0;

  constructor(connection) {
    super();
    this.#channel = connection.createDataChannel(LABEL);
    this.#channel.binaryType = 'arraybuffer';
    this.#channel.addEventListener('message', ({ data }) => this.#receive(data));
    this.#channel.addEventListener('open', () => this.dispatchEvent(new Event('open')));
    for (const type of ['close', 'error']) this.#channel.addEventListener(type, () => this.#abandon());
  }

  get isOpen() {
    return this.#channel.readyState === 'open';
  }

  // The last message of type `state`, or null.
  get state() {
    return this.#state;
  }

  keyframe() {
    this.#say({ type: 'keyframe' });
  }

  // tracks: of 'video' and 'audio'. Nothing of them is sent until they are wanted again.
  pause(tracks) {
    this.#say({ type: 'pause', tracks });
  }

  resume(tracks) {
    this.#say({ type: 'resume', tracks });
  }

  // type: 'snapshot' or 'clip', with what the address of the same has as parameters. onProgress gets a share of 1. Rejects with a
  // Failure.
  file(type, parameters = {}, onProgress = () => {}) {
    const id = `${type}-${this.#count += 1}`;
    return new Promise((resolve, reject) => {
      this.#files.set(id, { resolve, reject, onProgress, pieces: [], received: 0 });
      if (!this.#say({ ...parameters, type, id })) this.#fail(id, new Failure('connection-lost'));
    });
  }

  #say(message) {
    if (!this.isOpen) return false;
    this.#channel.send(JSON.stringify({ v: VERSION, ...message }));
    return true;
  }

  #receive(data) {
    if (typeof data !== 'string') return this.#piece(data);
    const message = JSON.parse(data);
    if (message.v !== VERSION) return;
    switch (message.type) {
      case 'state':
        this.#state = message;
        this.dispatchEvent(new Event('state'));
        break;
      case 'file':
        this.#current = this.#files.get(message.id) ?? null;
        if (this.#current) Object.assign(this.#current, message);
        break;
      case 'done':
        this.#current = null;
        this.#finish(message.id);
        break;
      case 'cancelled':
        this.#current = null;
        this.#fail(message.id, new Failure('cancelled'));
        break;
      case 'error':
        if (message.id) this.#fail(message.id, new Failure('gateway-error', { detail: message.detail, reasonCode: message.code }));
        break;
    }
  }

  #piece(data) {
    const file = this.#current;
    if (!file) return;
    file.pieces.push(data);
    file.received += data.byteLength;
    file.onProgress(file.size > 0 ? file.received / file.size : 1);
  }

  async #finish(id) {
    const file = this.#files.get(id);
    if (!file) return;
    const blob = new Blob(file.pieces, { type: file.media_type });
    // Browsers calculate no hash for pages that came in the clear.
    const hash = await globalThis.crypto?.subtle?.digest('SHA-256', await blob.arrayBuffer());
    const hex = hash && [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    if (blob.size !== file.size || (hex && hex !== file.sha256)) return this.#fail(id, new Failure('damaged'));
    this.#files.delete(id);
    file.resolve({ blob, name: file.name });
  }

  #fail(id, failure) {
    const file = this.#files.get(id);
    this.#files.delete(id);
    file?.reject(failure);
  }

  #abandon() {
    this.#current = null;
    for (const id of [...this.#files.keys()]) this.#fail(id, new Failure('connection-lost'));
  }
}
