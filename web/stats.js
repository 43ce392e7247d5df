// Numbers for the statistics overlay, from two RTCStatsReports a moment apart (W3C webrtc-stats).

export class StatsReader {
  #previous = null;

  // [[name, value], ...] in display order. path: WhepClient.path; delay: from camera to screen in milliseconds, or null.
  read(report, path, delay) {
    const entries = [...report.values()];
    const byId = (id) => (id ? report.get(id) : undefined);
    const inbound = (kind) => entries.find((entry) => entry.type === 'inbound-rtp' && entry.kind === kind);
    const video = inbound('video');
    const audio = inbound('audio');
    const pair = selectedPair(entries, byId);
    const before = this.#previous;
    this.#previous = { video, audio };
    return [
      ['Picture', video?.frameWidth ? `${video.frameWidth} × ${video.frameHeight}` : undefined],
      ['Frame rate', shown(video?.framesPerSecond ?? rate(before?.video, video, 'framesDecoded'), (value) => `${Math.round(value)} fps`)],
      ['Bit rate', shown(rate(before?.video, video, 'bytesReceived'), bitRate)],
      ['Video', shown(byId(video?.codecId), codec)],
      ['Audio', shown(byId(audio?.codecId), codec)],
      ['Packets lost', shown(video, lost)],
      ['Camera to screen', shown(delay, (ms) => `${Math.round(ms)} ms`)],
      ['Network', shown(path?.estimate_bps, (bits) => network(bits, path))],
      ['Round trip', shown(pair?.currentRoundTripTime, (seconds) => `${Math.round(seconds * 1000)} ms`)],
      ['Jitter buffer', shown(jitterBuffer(before?.video, video), (ms) => `${Math.round(ms)} ms`)],
      ['Frames', shown(video, ({ framesDecoded = 0, framesDropped = 0 }) => `${framesDecoded} decoded, ${framesDropped} dropped`)],
      ['Freezes', shown(video?.freezeCount, String)],
      ['Transport', shown(pair, (value) => transport(value, byId))],
    ].map(([name, value]) => [name, value ?? '–']);
  }
}

function shown(value, format) {
  return value === undefined || value === null || Number.isNaN(value) ? undefined : format(value);
}

// Per second, between two samples of the same stream.
export function rate(before, now, key) {
  if (!before || !now || before.id !== now.id) return undefined;
  const seconds = (now.timestamp - before.timestamp) / 1000;
  return seconds > 0 ? Math.max(0, now[key] - before[key]) / seconds : undefined;
}

export function bitRate(bytesPerSecond) {
  const kilobits = (bytesPerSecond * 8) / 1000;
  return kilobits < 1000 ? `${Math.round(kilobits)} kbit/s` : `${(kilobits / 1000).toFixed(2)} Mbit/s`;
}

// The gateway cannot tell faster ones apart.
const FAST_BPS = 100e6;

function network(bits, { queueing_ms: queue, leaves_out: leavesOut }) {
  const rest = [queue > 0 && `queue ${queue} ms`, leavesOut && 'pictures left out'].filter(Boolean);
  return [bits >= FAST_BPS ? 'over 100 Mbit/s' : bitRate(bits / 8), ...rest].join(', ');
}

function codec({ mimeType, sdpFmtpLine = '', clockRate, channels }) {
  const name = mimeType.split('/')[1];
  const profile = /profile-level-id=([0-9a-f]{6})/i.exec(sdpFmtpLine)?.[1];
  if (profile) return `${name} ${profile}`;
  if (!mimeType.toLowerCase().startsWith('audio/')) return name;
  return `${name} ${clockRate / 1000} kHz${channels === 2 ? ' stereo' : ''}`;
}

function lost({ packetsLost = 0, packetsReceived = 0 }) {
  const expected = packetsLost + packetsReceived;
  const percent = expected > 0 ? (100 * packetsLost) / expected : 0;
  return `${packetsLost} (${percent.toFixed(percent > 0 && percent < 10 ? 2 : 0)} %)`;
}

// The average of the last interval: the average since the start hides a growing delay.
function jitterBuffer(before, now) {
  if (!now?.jitterBufferEmittedCount) return undefined;
  const isSame = before?.id === now.id && now.jitterBufferEmittedCount > before.jitterBufferEmittedCount;
  const delay = now.jitterBufferDelay - (isSame ? before.jitterBufferDelay : 0);
  const emitted = now.jitterBufferEmittedCount - (isSame ? before.jitterBufferEmittedCount : 0);
  return (1000 * delay) / emitted;
}

// Firefox has no `transport` entry but marks the pair itself.
function selectedPair(entries, byId) {
  const id = entries.find(({ type }) => type === 'transport')?.selectedCandidatePairId;
  return byId(id) ?? entries.find(({ type, selected, nominated, state }) => (
    type === 'candidate-pair' && (selected || (nominated && state === 'succeeded'))
  ));
}

function transport({ localCandidateId, remoteCandidateId }, byId) {
  const local = byId(localCandidateId);
  const remote = byId(remoteCandidateId);
  const protocol = (local?.relayProtocol ?? local?.protocol ?? remote?.protocol ?? '').toUpperCase();
  return `${protocol} ${local?.candidateType ?? '?'} – ${remote?.candidateType ?? '?'}`.trim();
}
