// Publishes a stream to a WHIP URL (RFC 9725) and goes on doing so, with the states and causes of WhepClient: `playing` is
// being sent, `stalled` is connected while the device gives no picture.
//
//   const client = new WhipClient('/whip/door', stream);
//   client.start();
//   client.replace(track);    // another device, without interruption

import { Sending } from './sending.js';
import { WhepClient } from './whep.js';

export class WhipClient extends WhepClient {
  #stream;
  #sending = null;

  constructor(url, stream, options = {}) {
    super(url, { ...options, newMedia: () => this.#newMedia() });
    this.#stream = stream;
  }

  get stream() {
    return this.#stream;
  }

  // Sends this track in place of the one of its kind. Ends the old one.
  async replace(track) {
    for (const old of this.#stream.getTracks().filter(({ kind }) => kind === track.kind)) {
      this.#stream.removeTrack(old);
      old.stop();
    }
    this.#stream.addTrack(track);
    // A kind that was not part of the offer takes a new one.
    const isTaken = await this.#sending?.replace(track);
    if (isTaken === false) this.reconnect('tracks-changed');
  }

  #newMedia() {
    this.#sending = new Sending(this.#stream);
    return this.#sending;
  }
}
