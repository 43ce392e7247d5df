// What a session gives: the tracks of this device's camera and microphone, as H.264 and Opus.

// Cameras do not send more; a browser that sends what it can fills a home's way out.
const MAX_BITRATE = new Map([[360, 1_000_000], [480, 1_500_000], [720, 3_000_000], [1080, 6_000_000]]);
const MAX_BITRATE_OTHERWISE = 3_000_000;
const START_KBPS = 1500;

export class Sending {
  #stream;
  #senders = new Map();
  #transceivers = new Map();

  asksQuality = false;

  // stream: MediaStream with at most one track of each kind.
  constructor(stream) {
    this.#stream = stream;
  }

  attach(connection) {
    for (const track of this.#stream.getTracks()) {
      const transceiver = connection.addTransceiver(track, {
        direction: 'sendonly',
        streams: [this.#stream],
        sendEncodings: track.kind === 'video' ? [{ maxBitrate: maxBitrate(track) }] : undefined,
      });
      if (track.kind === 'video') preferH264(transceiver);
      this.#transceivers.set(track.kind, transceiver);
      this.#senders.set(track.kind, transceiver.sender);
    }
  }

  describe(sdp) {
    return sdp;
  }

  // Chromium begins at 300 kbit/s with a small picture, and took 12 s up to 1280 by 720 on a busy machine; from here it took 5.
  // Its estimate comes down by itself where the network carries less.
  understand(sdp) {
    const [session, ...sections] = sdp.split(/^(?=m=)/m);
    const told = sections.map((section) => (section.startsWith('m=video')
      ? section.replace(/^(a=fmtp:\d+ .*profile-level-id=.*?)\r\n/gm, `$1;x-google-start-bitrate=${START_KBPS}\r\n`)
      : section));
    return session + told.join('');
  }

  // Another device of the same kind, without a new session.
  async replace(track) {
    const sender = this.#senders.get(track.kind);
    if (!sender) return false;
    await sender.replaceTrack(track);
    if (track.kind === 'video') {
      const parameters = sender.getParameters();
      for (const encoding of parameters.encodings) encoding.maxBitrate = maxBitrate(track);
      // Only the bound is another one: the picture goes on without it, too.
      await sender.setParameters(parameters).catch(() => {});
    }
    return true;
  }

  get hasVideo() {
    return this.#transceivers.get('video')?.currentDirection === 'sendonly';
  }

  get hasAudio() {
    return this.#transceivers.get('audio')?.currentDirection === 'sendonly';
  }

  get transport() {
    return [...this.#senders.values()][0]?.transport;
  }

  // What has left so far, as Receiving tells it of what has arrived.
  async progress() {
    const sender = this.#senders.get(this.hasVideo ? 'video' : 'audio');
    for (const entry of (await sender.getStats()).values()) {
      if (entry.type !== 'outbound-rtp') continue;
      const packets = entry.packetsSent ?? 0;
      return { packets, frames: this.hasVideo ? entry.framesSent ?? 0 : packets };
    }
    return { packets: 0, frames: 0 };
  }
}

// Whether this browser can encode what a camera sends.
export function encodesH264() {
  return codecs().some(isH264);
}

// Nothing but H.264: what else a browser likes better, viewers of cameras are not promised.
function preferH264(transceiver) {
  const kept = codecs().filter((codec) => isH264(codec) || /^video\/(rtx|red|ulpfec)$/i.test(codec.mimeType));
  if (kept.some(isH264)) transceiver.setCodecPreferences?.(kept);
}

function codecs() {
  return RTCRtpSender.getCapabilities?.('video')?.codecs ?? [];
}

function isH264({ mimeType }) {
  return /^video\/h264$/i.test(mimeType);
}

function maxBitrate(track) {
  const { width = 0, height = 0 } = track.getSettings();
  return MAX_BITRATE.get(Math.min(width, height)) ?? MAX_BITRATE_OTHERWISE;
}
