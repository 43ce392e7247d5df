// How late a picture is on this screen: from its capture to its display.
//
// The gateway writes the time of capture into each picture (abs-capture-time), for browsers that ask for it. Chromium tells
// it with the newest packet, and the RTP timestamp of the picture that is about to be shown; one clock joins the two.

const ABS_CAPTURE_TIME = 'abs-capture-time';
// captureTimestamp counts from 1900.
const UNIX_EPOCH_MS = 2_208_988_800_000;
const TICKS_PER_MS = 90;
const LATEST_MS = 60_000;
// A picture that was shown before tells nothing of those that come now.
const STALE_MS = 10_000;

// To be called before the offer is made.
export function wantCaptureTimes(transceiver) {
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.();
  const wanted = extensions?.find(({ uri }) => uri.endsWith(ABS_CAPTURE_TIME));
  if (!wanted) return;
  wanted.direction = 'sendrecv';
  transceiver.setHeaderExtensionsToNegotiate(extensions);
}

export class ScreenDelay {
  #video;
  #receiver = null;
  #isLooking = false;
  #last = null;

  constructor(video) {
    this.#video = video;
  }

  // receiver: RTCRtpReceiver of the newest picture.
  receive(receiver) {
    this.#receiver = receiver;
    this.#last = null;
  }

  // Milliseconds, as they were when it was asked last; null while unknown. `ahead`: the gateway's clock in milliseconds since
  // 1970 less performance.now().
  measure(ahead) {
    this.#look(ahead);
    const isFresh = this.#last && performance.now() - this.#last.at < STALE_MS;
    return isFresh ? this.#last.delay : null;
  }

  #look(ahead) {
    if (this.#isLooking || !this.#video.requestVideoFrameCallback) return;
    this.#isLooking = true;
    this.#video.requestVideoFrameCallback((_, { rtpTimestamp, expectedDisplayTime }) => {
      this.#isLooking = false;
      const captured = this.#capturedAt(rtpTimestamp);
      const delay = expectedDisplayTime + ahead - captured;
      if (delay >= 0 && delay <= LATEST_MS) this.#last = { delay, at: performance.now() };
    });
  }

  // NaN while nothing is known.
  #capturedAt(rtpTimestamp) {
    const newest = this.#receiver?.getSynchronizationSources().find(({ captureTimestamp }) => captureTimestamp);
    // RTP timestamps wrap.
    const ticks = (rtpTimestamp - newest?.rtpTimestamp) | 0;
    return newest && rtpTimestamp !== undefined ? newest.captureTimestamp - UNIX_EPOCH_MS + ticks / TICKS_PER_MS : NaN;
  }
}
