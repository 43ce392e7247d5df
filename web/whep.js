// A WHEP player without a page: it keeps one session alive and says how it fares.
//
//   const client = new WhepClient('/whep/front');
//   client.addEventListener('track', ({ detail }) => ...);         // detail.track, detail.streams
//   client.addEventListener('statechange', () => client.state, client.cause);
//   client.start();
//
// state    idle        nobody wants the picture
//          connecting  offer, answer, ICE, DTLS, first frame; `cause` is then why the last attempt failed
//          playing     frames are being decoded
//          stalled     connected, but no new frame; the session is kept, it survives a camera outage
//          waiting     no session; the next attempt is at `retryAt`
//          failed      no session, and another attempt cannot help
// cause    null or a Failure
//
// `closed` follows each session that has ended.

import { Backoff } from './backoff.js';
import { Failure } from './failure.js';
import { WhepSession } from './session.js';

const WATCH_FIRST_FRAME_MS = 200;
const WATCH_MS = 1000;
// Longer than the pause between two frames of a slow camera, short enough not to pass for live.
const STALLED_MS = 3000;
// The same where the gateway leaves pictures out up to the next keyframe: longer than the GOP of nearly every camera.
const STALLED_ON_SLOW_NETWORK_MS = 15_000;
// Between two questions about the way, and while nothing comes.
const ASK_MS = 5000;
const ASK_SOON_MS = 1500;
// What the gateway calls it when the camera's next keyframe is all there is to wait for.
const AWAITING = ['long-gop', 'waiting-for-keyframe'];
// A picture this old is not part of a reconnect loop.
const STABLE_MS = 10_000;
// Waking up (online, visible again) skips the wait, but not this.
const MIN_ATTEMPT_GAP_MS = 1000;

export class WhepClient extends EventTarget {
  #url;
  #options;
  #backoff = new Backoff();
  #session = null;
  #state = 'idle';
  #cause = null;
  #retryAt = null;
  #retryTimer = 0;
  #attemptedAt = -Infinity;
  #connected = false;
  #watch = null;
  #path = null;
  #hiddenByPage = false;
  #isResting = false;

  // options.iceServers: RTCIceServer list; without it each attempt asks the gateway. options.token: of a link.
  // options.newMedia: makes what goes through a session (receiving.js).
  constructor(url, options = {}) {
    super();
    this.#url = url;
    this.#options = options;
  }

  get state() {
    return this.#state;
  }

  get cause() {
    return this.#cause;
  }

  // Date.now() of the next attempt, or null.
  get retryAt() {
    return this.#retryAt;
  }

  // ICE and DTLS are done; a picture may still be missing.
  get isConnected() {
    return this.#connected;
  }

  get hasVideo() {
    return this.#session?.hasVideo ?? false;
  }

  get hasAudio() {
    return this.#session?.hasAudio ?? false;
  }

  // The data channel of the session, or null (channel.js).
  get channel() {
    return this.#session?.channel ?? null;
  }

  // Whether the picture is not wanted for now: the gateway sends none, and that none comes is no fault.
  rest(isResting) {
    if (isResting && !this.channel?.isOpen) return;
    if (isResting === this.#isResting) return;
    this.#isResting = isResting;
    if (isResting) this.channel.pause(['video']);
    else this.channel?.resume(['video']);
  }

  // performance.now() of the last decoded frame in this session, or of its connection.
  get lastFrameAt() {
    return this.#watch?.lastFrameAt ?? null;
  }

  // What the gateway knows of the way to this browser: see WhepSession.quality(). Null before it has said so.
  get path() {
    return this.#path;
  }

  // Gives how late the picture is on this screen in milliseconds, or null: of the gateway's clock less performance.now().
  measureDelay = () => null;

  // How late the picture is on this screen in milliseconds, or null while that is not known.
  get delay() {
    return this.#path ? this.measureDelay(this.#path.ahead) : null;
  }

  start() {
    if (this.#state !== 'idle') return;
    this.#listen(true);
    this.#attempt();
  }

  stop() {
    if (this.#state === 'idle') return;
    this.#listen(false);
    this.#endSession();
    clearTimeout(this.#retryTimer);
    this.#enter('idle');
  }

  // The next attempt now, if one is waiting.
  retry() {
    if (this.#state !== 'waiting') return;
    const gap = this.#attemptedAt + MIN_ATTEMPT_GAP_MS - performance.now();
    if (gap > 0) this.#attemptAfter(gap);
    else this.#attempt();
  }

  // Gives this session up; the caller knows that it will not recover.
  reconnect(code) {
    if (this.#session) this.#fail(new Failure(code));
  }

  // A new frame is on the screen, which whoever shows it knows sooner than the statistics do.
  shown() {
    if (this.#state !== 'stalled') return;
    const now = performance.now();
    this.#watch.lastFrameAt = now;
    this.#watch.playingSince ??= now;
    this.#enter('playing');
  }

  // RTCStatsReport of the session, or null.
  async stats() {
    const connection = this.#session?.connection;
    return connection && connection.signalingState !== 'closed' ? connection.getStats() : null;
  }

  async #attempt() {
    clearTimeout(this.#retryTimer);
    this.#attemptedAt = performance.now();
    const { newMedia, ...options } = this.#options;
    const session = new WhepSession(this.#url, { ...options, media: newMedia?.() });
    this.#session = session;
    const isCurrent = () => this.#session === session;
    session.addEventListener('track', ({ detail }) => {
      if (isCurrent()) this.dispatchEvent(new CustomEvent('track', { detail }));
    });
    session.addEventListener('connected', () => isCurrent() && this.#onConnected(session));
    session.addEventListener('lost', ({ detail }) => isCurrent() && this.#fail(detail));
    this.#enter('connecting', this.#cause);
    try {
      await session.open();
    } catch (error) {
      if (!isCurrent()) return;
      this.#fail(error instanceof Failure ? error : new Failure('browser-error', { detail: error.message, cause: error }));
    }
  }

  #onConnected(session) {
    // ICE may come back from `disconnected`: the watch is already running.
    if (this.#connected) return;
    this.#connected = true;
    const now = performance.now();
    this.#watch = { frames: 0, packets: 0, lastFrameAt: now, askedAt: now, playingSince: null, timer: 0 };
    this.#changed();
    this.#observe(session, this.#watch);
  }

  async #observe(session, watch) {
    try {
      const progress = await session.progress();
      if (this.#session !== session) return;
      this.#judge(watch, progress);
      this.#ask(session, watch);
    } catch {
      // The connection closed under the question; `lost` says so.
      if (this.#session !== session) return;
    }
    const pause = this.#state === 'playing' ? WATCH_MS : WATCH_FIRST_FRAME_MS;
    watch.timer = setTimeout(() => this.#observe(session, watch), pause);
  }

  async #ask(session, watch) {
    const now = performance.now();
    const isStill = now - watch.lastFrameAt > ASK_SOON_MS;
    if (now - watch.askedAt < (isStill ? ASK_SOON_MS : ASK_MS)) return;
    watch.askedAt = now;
    const path = await session.quality(this.delay);
    if (this.#session !== session || !path) return;
    const isNews = path.leaves_out !== Boolean(this.#path?.leaves_out) || path.code !== (this.#path?.code ?? null);
    this.#path = path;
    if (isNews) this.#changed();
  }

  #judge(watch, { frames, packets }) {
    const now = performance.now();
    if (this.#isResting) watch.lastFrameAt = now;
    if (frames > watch.frames) {
      watch.frames = frames;
      watch.packets = packets;
      watch.lastFrameAt = now;
      watch.playingSince ??= now;
      if (now - watch.playingSince >= STABLE_MS) this.#backoff.reset();
      if (this.#state !== 'playing') this.#enter('playing');
      return;
    }
    if (watch.frames === 0 && AWAITING.includes(this.#path?.code)) return;
    if (now - watch.lastFrameAt < (this.#path?.leaves_out ? STALLED_ON_SLOW_NETWORK_MS : STALLED_MS)) return;
    watch.playingSince = null;
    // Packets without frames: the browser cannot decode what arrives. No packets: the camera is silent.
    const code = packets > watch.packets ? 'no-frames' : 'no-media';
    if (this.#state === 'stalled' && this.#cause?.code === code) return;
    // A way that died without a word looks like this for seconds before ICE says so.
    if (code === 'no-media') this.#session.restart();
    this.#enter('stalled', new Failure(code));
  }

  #fail(failure) {
    const delay = this.#backoff.next(failure.retryAfterSeconds);
    if (failure.isFinal) {
      this.#enter('failed', failure);
    } else {
      this.#attemptAfter(delay);
      this.#enter('waiting', failure);
    }
    // Last, so that a listener can still copy the last picture.
    this.#endSession();
  }

  #attemptAfter(delay) {
    clearTimeout(this.#retryTimer);
    this.#retryAt = Date.now() + delay;
    this.#retryTimer = setTimeout(() => this.#attempt(), delay);
  }

  #endSession() {
    const session = this.#session;
    clearTimeout(this.#watch?.timer);
    this.#watch = null;
    this.#session = null;
    this.#path = null;
    this.#connected = false;
    this.#isResting = false;
    if (!session) return;
    session.close();
    this.dispatchEvent(new Event('closed'));
  }

  #enter(state, cause = null) {
    this.#state = state;
    this.#cause = cause;
    if (state !== 'waiting') this.#retryAt = null;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event('statechange'));
  }

  #listen(on) {
    const method = on ? 'addEventListener' : 'removeEventListener';
    globalThis[method]('online', this.#onOnline);
    globalThis[method]('pagehide', this.#onPageHide);
    globalThis[method]('pageshow', this.#onPageShow);
    globalThis.document?.[method]('visibilitychange', this.#onVisibility);
  }

  #onOnline = () => {
    // Another network: the way of before is probably dead, and would be found so only after seconds.
    this.#session?.restart();
    this.retry();
  };

  #onVisibility = () => {
    if (document.visibilityState === 'visible') this.retry();
  };

  #onPageHide = () => {
    clearTimeout(this.#retryTimer);
    this.#hiddenByPage = true;
    this.#endSession();
  };

  // The page came back from the back/forward cache.
  #onPageShow = () => {
    if (!this.#hiddenByPage) return;
    this.#hiddenByPage = false;
    if (this.#state !== 'failed') this.#attempt();
  };
}
