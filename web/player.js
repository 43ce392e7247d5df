// One camera on the page: a <video> around a WhepClient, its words, its sound, its statistics.
//
// Events: `statechange` when `state` (see words.js) has changed, `camerachange` when the gateway told of the camera, `loginneeded` when the login of this page is over.

import { at } from './base.js';
import { watchCatchUp } from './catchup.js';
import { ScreenDelay } from './delay.js';
import { bindDownloads } from './download.js';
import { element, setText } from './element.js';
import { LipSync } from './lipsync.js';
import { LevelMeter } from './meter.js';
import { StatsReader } from './stats.js';
import { tileView } from './tile.js';
import { WhepClient } from './whep.js';
import { countdown, describe } from './words.js';

// The gateway says `live` until it gives a silent camera up, after 10 s. Who reconnects sooner loses the session for nothing
// and is shown the cached past as if it were now.
const LIVE_BUT_FROZEN_MS = 12_000;
const TICK_MS = 1000;
// Without a pointer moving for this long, floating buttons leave the picture alone.
const AWAKE_MS = 2500;
// A remembered picture need not be larger than this, whatever the camera sends.
const STILL_MAX_WIDTH = 1280;
// What the gateway calls it when nobody publishes to a camera that is published to.
const UNPUBLISHED = ['nobody-publishes', 'publisher-gone'];

export class Player extends EventTarget {
  #name;
  #feed;
  #client;
  #view;
  #stream = null;
  #hasFrame = false;
  #isCatchingUp = false;
  #endCatchUp = () => {};
  #ticking = 0;
  #playRefused = false;
  #wantsSound;
  #awakeTimer = 0;
  #statsTimer = 0;
  #statsReader = null;
  #meter;
  #lipSync;
  #delay;
  #shown = { state: 'idle', text: '', reason: '' };

  // layout: `tile` or `bare`; sound: try with sound first; controls: show buttons at all; token: of a link.
  constructor(name, feed, { layout = 'tile', sound = false, controls = true, token } = {}) {
    super();
    this.#name = name;
    this.#feed = feed;
    this.#wantsSound = sound;
    this.#view = tileView(name, { layout, controls });
    this.#view.video.muted = !sound;
    this.#meter = new LevelMeter(this.#view.level);
    this.#client = new WhepClient(this.whepUrl, { token });
    this.#lipSync = new LipSync(() => this.#client.stats());
    this.#delay = new ScreenDelay(this.#view.video);
    this.#client.measureDelay = (ahead) => this.#delay.measure(ahead);
    this.#client.addEventListener('track', ({ detail }) => this.#onTrack(detail));
    this.#client.addEventListener('statechange', () => this.#onClientState());
    this.#bindControls();
    bindDownloads(name, this.#view, { token, channel: () => this.#client.channel });
    this.#render();
  }

  get name() {
    return this.#name;
  }

  get element() {
    return this.#view.root;
  }

  get view() {
    return this.#view;
  }

  get client() {
    return this.#client;
  }

  get lipSync() {
    return this.#lipSync;
  }

  // What the gateway says of the camera, if that is known.
  get camera() {
    return this.#feed.find(this.#name);
  }

  get state() {
    return this.#shown.state;
  }

  get whepUrl() {
    return new URL(at(`/whep/${encodeURIComponent(this.#name)}`), location.href).href;
  }

  start() {
    this.#client.start();
  }

  stop() {
    this.#keepStill();
    this.#client.stop();
  }

  // The feed has news; the page forwards them to each player.
  onCameras() {
    const camera = this.#feed.find(this.#name);
    const { state, cause } = this.#client;
    // The camera is back before the wait is over.
    const isBack = (cause?.code === 'camera-not-live' && camera?.state === 'live')
      || (cause?.code === 'camera-not-found' && camera);
    if (state === 'waiting' && isBack) this.#client.retry();
    this.#render();
    this.dispatchEvent(new Event('camerachange'));
  }

  toggleSound() {
    const { video } = this.#view;
    video.muted = !video.muted;
    this.#wantsSound = !video.muted;
    this.#view.invite.hidden = true;
    this.#play();
    this.#renderSound();
  }

  async toggleFullscreen() {
    const { root, video } = this.#view;
    if (document.fullscreenElement) await document.exitFullscreen();
    else if (root.requestFullscreen) await root.requestFullscreen().catch(() => {});
    // iPhones let only the video itself fill the screen.
    else video.webkitEnterFullscreen?.();
  }

  toggleStatistics() {
    const { stats, statistics } = this.#view;
    const isOn = stats.hidden;
    stats.hidden = !isOn;
    statistics.setAttribute('aria-pressed', String(isOn));
    clearInterval(this.#statsTimer);
    if (!isOn) return;
    this.#statsReader = new StatsReader();
    this.#statsTimer = setInterval(() => this.#renderStatistics(), TICK_MS);
    this.#renderStatistics();
  }

  // Answers whether the key meant something.
  onKey(key) {
    const action = {
      m: () => this.#view.sound.disabled || this.toggleSound(),
      s: () => this.toggleStatistics(),
      f: () => this.toggleFullscreen(),
    }[key.toLowerCase()];
    if (action) this.#wake();
    action?.();
    return Boolean(action);
  }

  #bindControls() {
    const { root, video, picture, sound, invite, fullscreen, statistics, retry } = this.#view;
    sound.addEventListener('click', () => this.toggleSound());
    invite.addEventListener('click', () => this.toggleSound());
    fullscreen.addEventListener('click', () => this.toggleFullscreen());
    statistics.addEventListener('click', () => this.toggleStatistics());
    retry.addEventListener('click', () => (this.#playRefused ? this.#play() : this.#client.retry()));
    picture.addEventListener('dblclick', () => this.toggleFullscreen());
    picture.addEventListener('click', () => this.#playRefused && this.#play());
    for (const type of ['pointermove', 'pointerdown', 'focusin']) root.addEventListener(type, () => this.#wake());
    root.addEventListener('fullscreenchange', () => {
      fullscreen.setAttribute('aria-pressed', String(document.fullscreenElement === root));
    });
    // Headphones pulled out, a media key, a sleeping phone: a live picture has no pause.
    video.addEventListener('pause', () => this.#client.state === 'playing' && this.#play());
    video.addEventListener('volumechange', () => this.#renderSound());
    this.#renderSound();
  }

  #wake() {
    const { classList } = this.#view.root;
    classList.add('awake');
    clearTimeout(this.#awakeTimer);
    this.#awakeTimer = setTimeout(() => classList.remove('awake'), AWAKE_MS);
  }

  #onTrack({ track, receiver, streams }) {
    if (track.kind === 'video') {
      this.#lipSync.receive(receiver, this.#feed.find(this.#name)?.audio);
      this.#delay.receive(receiver);
    }
    const stream = streams[0];
    if (stream && this.#stream !== stream) {
      this.#keepStill();
      this.#show(stream);
    } else if (!stream) {
      // An answer without a=msid leaves the tracks unbundled.
      this.#adopt(track);
    }
  }

  #adopt(track) {
    const { video } = this.#view;
    const current = video.srcObject?.getTracks().filter(({ readyState }) => readyState === 'live') ?? [];
    this.#keepStill();
    this.#show(new MediaStream([...current, track]));
  }

  #show(stream) {
    this.#stream = stream;
    this.#hasFrame = false;
    this.#view.video.srcObject = stream;
    this.#hideCatchUp();
    this.#play();
  }

  // One picture at once and then the live ones, instead of seconds of the past in fast forward.
  #hideCatchUp() {
    this.#endCatchUp();
    this.#isCatchingUp = true;
    this.#endCatchUp = watchCatchUp(this.#view.video, {
      onFirst: () => {
        this.#hasFrame = true;
        this.#keepStill();
        this.#render();
      },
      onLive: () => {
        this.#isCatchingUp = false;
        if (this.#client.state === 'playing') this.#view.still.hidden = true;
      },
    });
  }

  async #play() {
    const { video, invite } = this.#view;
    try {
      await video.play();
      this.#playRefused = false;
    } catch (error) {
      // AbortError: a newer stream took the element over.
      if (error.name !== 'NotAllowedError') return;
      if (!video.muted) {
        video.muted = true;
        invite.hidden = !this.#wantsSound;
        this.#play();
        return;
      }
      this.#playRefused = true;
    }
    this.#render();
  }

  #onClientState() {
    const { state } = this.#client;
    if (state === 'playing') {
      this.#hasFrame = this.#client.hasVideo;
      if (!this.#isCatchingUp || !this.#hasFrame) this.#view.still.hidden = true;
    } else if (state !== 'connecting') {
      this.#keepStill();
    }
    // What stands still is uncovered with the first frame that moves.
    if (state === 'stalled') this.#view.video.requestVideoFrameCallback?.(() => this.#client.shown());
    this.#render();
    if (this.#client.cause?.code === 'login-needed') this.dispatchEvent(new Event('loginneeded'));
  }

  // A frozen or replaced <video> may turn black; a copy of its last picture does not.
  #keepStill() {
    const { video, still } = this.#view;
    // Before its first frame Chromium gives a stream a black picture of 2 by 2.
    if (!still.hidden || !this.#hasFrame || video.videoWidth <= 2) return;
    const scale = Math.min(1, STILL_MAX_WIDTH / video.videoWidth);
    still.width = Math.round(video.videoWidth * scale);
    still.height = Math.round(video.videoHeight * scale);
    still.getContext('2d').drawImage(video, 0, 0, still.width, still.height);
    still.hidden = false;
  }

  #tick() {
    this.#reconnectIfFrozen();
    this.#render();
  }

  #reconnectIfFrozen() {
    const client = this.#client;
    const camera = this.#feed.find(this.#name);
    if (client.state !== 'stalled' || camera?.state !== 'live') return;
    const frameMs = camera.video?.fps > 0 ? 1000 / camera.video.fps : 0;
    const since = Math.max(client.lastFrameAt, camera.liveSeenAt);
    if (performance.now() - since > Math.max(LIVE_BUT_FROZEN_MS, 3 * frameMs)) client.reconnect(client.cause.code);
  }

  #render() {
    const view = this.#view;
    const before = this.#shown;
    const shown = describe({
      name: this.#name,
      client: this.#client,
      camera: this.#feed.find(this.#name),
      gatewayNow: this.#feed.now(),
      playRefused: this.#playRefused,
    });
    this.#shown = shown;
    setText(view.sentence, shown.text);
    setText(view.next, countdown(shown.nextTryAt));
    if (view.label) setText(view.label, shown.label);
    this.#renderClip();
    view.words.hidden = shown.text === '';
    // An offline camera is the gateway's to retry; asking the gateway sooner would not wake it.
    const canRetry = this.#client.state === 'waiting' && shown.state !== 'offline';
    view.retry.hidden = !canRetry && !this.#playRefused;
    view.publish.hidden = shown.state !== 'offline' || !UNPUBLISHED.includes(this.#feed.find(this.#name)?.code);
    setText(view.retry, this.#playRefused ? 'Play' : 'Try now');
    view.root.dataset.state = shown.state;
    const isMoving = shown.state === 'playing' && this.#client.hasVideo;
    view.root.classList.toggle('has-picture', isMoving || !view.still.hidden);
    this.#renderSound();
    this.#keepTicking(!['idle', 'playing'].includes(shown.state));
    const isNews = shown.state !== before.state;
    // A picture that plays may turn out to be only part of one; why a camera is away may be known later than that it is.
    const isReason = shown.reason !== before.reason;
    const isOtherText = shown.text !== before.text && !shown.reason;
    if (isNews || isReason || (shown.state === 'playing' && isOtherText)) this.#announce(before, shown);
    if (!isNews) return;
    this.dispatchEvent(new Event('statechange'));
  }

  // While nothing is known of the camera, the button stays as it is.
  #renderClip() {
    const camera = this.#feed.find(this.#name);
    if (camera) this.#view.clip.hidden = !camera.clip_seconds;
  }

  // Only news worth interrupting for, and without the countdown: a wall of cameras must not chatter.
  #announce(before, shown) {
    const isBad = (state) => ['stalled', 'offline', 'error'].includes(state);
    if (isBad(shown.state) || shown.reason || (shown.state === 'playing' && shown.text)) setText(this.#view.status, shown.text);
    else if (shown.state === 'playing' && isBad(before.state)) setText(this.#view.status, `${this.#name} is live again.`);
    // What stood over a picture that went on is over.
    else if (shown.state === 'playing' && before.state === 'playing') setText(this.#view.status, `${this.#name} is complete again.`);
  }

  #keepTicking(on) {
    if (on === Boolean(this.#ticking)) return;
    clearInterval(this.#ticking);
    this.#ticking = on ? setInterval(() => this.#tick(), TICK_MS) : 0;
  }

  #renderSound() {
    const { sound, video } = this.#view;
    const isSilent = this.#client.isConnected && !this.#client.hasAudio;
    sound.disabled = isSilent;
    const note = this.#feed.find(this.#name)?.audio_note;
    sound.title = [isSilent ? `${this.#name} sends no sound` : 'Sound (M)', note].filter(Boolean).join(': ');
    sound.setAttribute('aria-pressed', String(!video.muted));
    const isHeard = !video.muted && this.#client.isConnected && this.#client.hasAudio;
    this.#meter.watch(isHeard ? video.srcObject : null);
    // Before the answer nobody knows whether there is sound; the first picture is to be right already.
    const mayBeHeard = isHeard || (!this.#client.isConnected && this.#client.state !== 'idle');
    this.#lipSync.listen(!video.muted && mayBeHeard);
  }

  async #renderStatistics() {
    const report = await this.#client.stats();
    const rows = report
      ? this.#statsReader.read(report, this.#client.path, this.#client.delay)
      : [['Session', 'none']];
    const { stats } = this.#view;
    stats.replaceChildren(...rows.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]));
  }
}
