// What a publishing session sends, in one line, from two RTCStatsReports a moment apart (W3C webrtc-stats).

import { bitRate, rate } from './stats.js';

// Every session begins small and grows: what limits it for so long is worth a word. Seconds, at a reading each.
const LIMITED_FOR = 10;
const LIMITS = new Map([['bandwidth', 'the network is slow'], ['cpu', 'this device is busy']]);

export class OutboundReader {
  #previous = null;
  #limit = null;
  #limitedFor = 0;

  read(report) {
    const entries = [...report.values()];
    const outbound = (kind) => entries.find((entry) => entry.type === 'outbound-rtp' && entry.kind === kind);
    const video = outbound('video');
    const audio = outbound('audio');
    const before = this.#previous;
    this.#previous = { video, audio };
    const bytes = [rate(before?.video, video, 'bytesSent'), rate(before?.audio, audio, 'bytesSent')].filter(Number.isFinite);
    const seconds = entries.find(({ type, nominated, state }) => type === 'candidate-pair' && nominated && state === 'succeeded')
      ?.currentRoundTripTime;
    return [
      video?.frameWidth && `${video.frameWidth} × ${video.frameHeight}`,
      video?.framesPerSecond && `${Math.round(video.framesPerSecond)} fps`,
      bytes.length > 0 && bitRate(bytes.reduce((sum, value) => sum + value, 0)),
      seconds !== undefined && `round trip ${Math.round(seconds * 1000)} ms`,
      this.#limited(video?.qualityLimitationReason),
    ].filter(Boolean).join(', ');
  }
  // Why the picture is smaller than it was asked for, once that lasts.
  #limited(limit) {
    this.#limitedFor = limit === this.#limit ? this.#limitedFor + 1 : 0;
    this.#limit = limit;
    return this.#limitedFor >= LIMITED_FOR && LIMITS.get(limit);
  }
}
