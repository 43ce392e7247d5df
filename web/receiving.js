// What a session gets: one video and one audio track of a camera.

import { Channel } from './channel.js';
import { wantCaptureTimes } from './delay.js';

export class Receiving {
  #video = null;
  #audio = null;
  #channel = null;

  // The gateway is asked how the way here is, and told how late the picture comes (WhepSession.quality()).
  asksQuality = true;

  // Before the offer. `onTrack` gets RTCTrackEvent's fields.
  attach(connection, onTrack) {
    connection.addEventListener('track', ({ track, receiver, streams }) => {
      preferLowLatency(receiver);
      onTrack({ track, receiver, streams });
    });
    this.#video = connection.addTransceiver('video', { direction: 'recvonly' });
    this.#audio = connection.addTransceiver('audio', { direction: 'recvonly' });
    wantCaptureTimes(this.#video);
    this.#channel = new Channel(connection);
  }

  get channel() {
    return this.#channel;
  }

  // Offers receiver reference time reports (RFC 3611 section 4.4), by which a browser that only receives learns its round
  // trip: it asks for lost packets again after that, instead of after 100 ms. Chromium knows them and does not offer them.
  describe(sdp) {
    const [session, ...sections] = sdp.split(/^(?=m=)/m);
    const told = sections.map((section) => (section.startsWith('m=video')
      ? section.replace(/^a=rtpmap:(\d+) .*\r\n/gm, '$&a=rtcp-fb:$1 rrtr\r\n')
      : section));
    return session + told.join('');
  }

  // The answer, as this browser is to take it.
  understand(sdp) {
    return sdp;
  }

  get hasVideo() {
    return this.#video?.currentDirection === 'recvonly';
  }

  get hasAudio() {
    return this.#audio?.currentDirection === 'recvonly';
  }

  get transport() {
    return this.#video.receiver.transport;
  }

  // What has arrived so far, to tell a running picture from a frozen one.
  async progress() {
    const { receiver } = this.hasVideo ? this.#video : this.#audio;
    for (const entry of (await receiver.getStats()).values()) {
      if (entry.type !== 'inbound-rtp') continue;
      const packets = entry.packetsReceived ?? 0;
      // Sound has no frames; its packets stand for progress.
      return { packets, frames: this.hasVideo ? entry.framesDecoded ?? 0 : packets };
    }
    return { packets: 0, frames: 0 };
  }
}

function preferLowLatency(receiver) {
  if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0;
  else if ('playoutDelayHint' in receiver) receiver.playoutDelayHint = 0;
}
