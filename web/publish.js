// This device as a camera: /publish/<camera>, or /publish#<token of a link>. What it sends goes on by itself after every
// interruption, for days.

import { at } from './base.js';
import { NONE, listDevices, obstacle, openBoth, openCamera, openMicrophone } from './devices.js';
import { element, setText } from './element.js';
import { linkOf } from './guest.js';
import { LevelMeter } from './meter.js';
import { OutboundReader } from './outbound.js';
import { encodesH264 } from './sending.js';
import { toLogin } from './user.js';
import { WakeLock } from './wakelock.js';
import { WhipClient } from './whip.js';
import { captureTrouble, countdown, linkTrouble, publishing } from './words.js';

const TICK_MS = 1000;
// A camera that was pulled out, or taken by a call, is looked for again that often.
const DEVICE_AGAIN_MS = 5000;

const view = Object.fromEntries(
  ['title', 'trouble', 'preview', 'words', 'facts', 'level', 'live', 'mute', 'turn', 'settings', 'camera', 'microphone', 'size',
    'awake', 'resume', 'watch'].map((id) => [id, document.getElementById(id)]),
);
const meter = new LevelMeter(view.level);
const wakeLock = new WakeLock();
const token = location.hash.slice(1) || undefined;

let name = '';
let settings = {};
let stream = null;
let client = null;
let facing = 'environment';
let isMuted = false;
let reader = null;
let deviceTimer = 0;
// One after the other: two getUserMedia at once end each other's tracks on phones.
let opening = Promise.resolve();

begin();

async function begin() {
  try {
    name = token ? (await linkOf(token)).camera : named();
  } catch (failure) {
    tell(linkTrouble(failure));
    return;
  }
  settings = remembered();
  facing = settings.facing ?? facing;
  document.title = `${name} – publish`;
  view.title.textContent = `This device as “${name}”`;
  const watch = at(token ? `/share#${token}` : `/watch/${encodeURIComponent(name)}`);
  view.watch.href = watch;
  view.watch.textContent = token ? 'the page of your link' : new URL(watch, location.href).href;
  view.size.value = settings.size ?? '720';
  view.awake.checked = settings.awake ?? true;
  view.awake.disabled = !WakeLock.isSupported;
  view.resume.checked = settings.resume ?? false;
  bind();
  const hindrance = obstacle() ?? (encodesH264() ? null : 'no-encoder');
  if (hindrance) return tell(captureTrouble({ name: hindrance }));
  await open({ camera: settings.camera, microphone: settings.microphone });
  if (stream && view.resume.checked) goLive();
}

function named() {
  return decodeURIComponent(location.pathname.slice(at('/publish/').length).replace(/\/+$/, ''));
}

function bind() {
  view.live.addEventListener('click', () => (client ? stop() : goLive()));
  view.mute.addEventListener('click', () => {
    isMuted = !isMuted;
    applyMute();
  });
  view.turn.addEventListener('click', () => {
    facing = facing === 'user' ? 'environment' : 'user';
    open({ camera: '', changed: 'video' });
  });
  view.camera.addEventListener('change', () => open({ camera: view.camera.value, changed: 'video' }));
  view.size.addEventListener('change', () => open({ camera: view.camera.value, changed: 'video' }));
  view.microphone.addEventListener('change', () => open({ microphone: view.microphone.value, changed: 'audio' }));
  view.awake.addEventListener('change', () => {
    wakeLock.want(Boolean(client) && view.awake.checked);
    remember();
  });
  view.resume.addEventListener('change', remember);
  view.settings.addEventListener('submit', (event) => event.preventDefault());
  navigator.mediaDevices?.addEventListener?.('devicechange', () => showDevices());
  setInterval(render, TICK_MS);
}

// Opens camera and microphone, or only the one that has changed; what is being sent goes over to them.
function open(choice) {
  opening = opening.then(() => openNow(choice));
  return opening;
}

async function openNow({ camera, microphone, changed }) {
  clearTimeout(deviceTimer);
  const asked = { camera, microphone, facing, size: Number(view.size.value) };
  let trouble = '';
  const isComplete = !changed && microphone !== NONE && await takeBoth(asked);
  if (!isComplete && changed !== 'audio') {
    // Phones have one camera open at a time.
    ofKind('video')?.stop();
    trouble = await take(() => openCamera(asked), 'camera', () => openCamera({ ...asked, camera: '' }));
  }
  if (changed !== 'video' && microphone === NONE) {
    drop('audio');
  } else if (!isComplete && changed !== 'video') {
    const silence = await take(() => openMicrophone(asked), 'microphone', () => openMicrophone({}));
    trouble ||= silence;
  }
  tell(trouble);
  await showDevices();
  remember();
  applyMute();
  view.live.disabled = !client && !stream;
  render();
}

// Whether both were there. What was wrong with one of them is found out one by one.
async function takeBoth(asked) {
  const tracks = await openBoth(asked).catch(() => []);
  for (const track of tracks) await welcome(track);
  return tracks.length === 2;
}

// Answers in words why there is no such track; else with nothing.
async function take(ask, kind, askForAny) {
  let track;
  try {
    track = await ask().catch((error) => {
      // The device of last time is not there any more.
      if (error.name === 'OverconstrainedError' || error.name === 'NotFoundError') return askForAny();
      throw error;
    });
  } catch (error) {
    if (kind === 'camera') deviceTimer = setTimeout(() => open({ camera: view.camera.value, changed: 'video' }), DEVICE_AGAIN_MS);
    return captureTrouble({ name: error.name, kind, detail: error.message });
  }
  await welcome(track);
  return '';
}

async function welcome(track) {
  if (track.kind === 'video') track.contentHint = 'motion';
  track.addEventListener('ended', () => onEnded(track));
  await adopt(track);
}

async function adopt(track) {
  if (client) await client.replace(track);
  else {
    stream ??= new MediaStream();
    drop(track.kind);
    stream.addTrack(track);
  }
  // A new object: Chromium shows a track that was added later only then.
  if (track.kind === 'video') view.preview.srcObject = new MediaStream([track]);
  const isSelfie = track.getSettings().facingMode === 'user';
  if (track.kind === 'video') view.preview.classList.toggle('mirrored', isSelfie);
}

function drop(kind) {
  for (const old of stream?.getTracks().filter((track) => track.kind === kind) ?? []) {
    stream.removeTrack(old);
    old.stop();
  }
  if (client && kind === 'audio') client.reconnect('tracks-changed');
}

// Not by us: pulled out, or taken away by the system.
function onEnded(track) {
  if (!stream?.getTracks().includes(track)) return;
  const isCamera = track.kind === 'video';
  tell(captureTrouble({ name: 'ended', kind: isCamera ? 'camera' : 'microphone' }));
  deviceTimer = setTimeout(() => open(isCamera
    ? { camera: view.camera.value, changed: 'video' }
    : { microphone: view.microphone.value, changed: 'audio' }), DEVICE_AGAIN_MS);
}

function goLive() {
  if (client || !stream) return;
  client = new WhipClient(new URL(at(`/whip/${encodeURIComponent(name)}`), location.href).href, stream, { token });
  client.addEventListener('statechange', onState);
  client.start();
  wakeLock.want(view.awake.checked);
  reader = new OutboundReader();
  render();
}

function stop() {
  client?.stop();
  client = null;
  wakeLock.want(false);
  render();
}

function onState() {
  if (client?.cause?.code === 'login-needed' && !token) toLogin();
  // Somebody else publishes now, who would only be driven away in turn.
  if (client?.cause?.reasonCode === 'taken-over') {
    const { detail } = client.cause;
    stop();
    tell(detail);
  }
  render();
}

async function showDevices() {
  const { cameras, microphones } = await listDevices().catch(() => ({ cameras: [], microphones: [] }));
  const used = (kind) => ofKind(kind)?.getSettings().deviceId;
  fill(view.camera, cameras, used('video'), 'No camera');
  fill(view.microphone, [...microphones, { id: NONE, label: 'None' }], used('audio') ?? NONE);
  // With a front and a back, "the other side" is what a person wants to say.
  view.turn.hidden = cameras.length < 2 || !ofKind('video')?.getSettings().facingMode;
}

function fill(select, devices, used, empty) {
  const options = devices.map(({ id, label }) => element('option', { value: id }, label));
  if (options.length === 0) options.push(element('option', { value: '' }, empty));
  select.replaceChildren(...options);
  if (used) select.value = used;
}

function ofKind(kind) {
  return stream?.getTracks().find((track) => track.kind === kind);
}

function applyMute() {
  const sound = ofKind('audio');
  view.mute.disabled = !sound;
  view.mute.setAttribute('aria-pressed', String(isMuted));
  view.mute.textContent = isMuted ? 'Muted' : 'Mute';
  if (sound) sound.enabled = !isMuted;
  meter.watch(sound && !isMuted ? new MediaStream([sound]) : null);
}

async function render() {
  const { state, text, nextTryAt } = publishing({ name, client });
  view.preview.parentElement.dataset.state = state;
  setText(view.words, [text, countdown(nextTryAt)].filter(Boolean).join(' '));
  setText(view.live, client ? 'Stop' : 'Go live');
  view.live.classList.toggle('primary', !client);
  view.live.classList.toggle('quiet', Boolean(client));
  const report = await client?.stats().catch(() => null);
  setText(view.facts, report && state === 'playing' ? reader.read(report) : preview());
}

function preview() {
  const { width, height, frameRate } = ofKind('video')?.getSettings() ?? {};
  return width ? `${width} × ${height}, ${Math.round(frameRate ?? 0)} fps` : '';
}

function tell(text) {
  setText(view.trouble, text ?? '');
  view.trouble.hidden = !text;
}

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(`publish:${name}`)) ?? {};
  } catch {
    return {};
  }
}

function remember() {
  const kept = {
    camera: ofKind('video')?.getSettings().deviceId,
    microphone: view.microphone.value,
    size: view.size.value,
    facing,
    awake: view.awake.checked,
    resume: view.resume.checked,
  };
  try {
    localStorage.setItem(`publish:${name}`, JSON.stringify(kept));
  } catch {
    // A private window: it is asked again next time.
  }
}
