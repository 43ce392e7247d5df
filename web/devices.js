// This device's cameras and microphones, by getUserMedia (W3C Media Capture and Streams).

// What a select says for no microphone at all.
export const NONE = 'none';

const FRAME_RATE = 30;

// Why this page cannot have a camera whatever the user says, or null.
export function obstacle() {
  if (!globalThis.isSecureContext) return 'insecure';
  if (!navigator.mediaDevices?.getUserMedia) return 'unsupported';
  return null;
}

// size: the picture's smaller side in pixels; camera, microphone: device ids, empty for the browser's choice; facing: `user` or
// `environment`, which counts without a camera.
export async function openCamera(choice) {
  return firstTrack(await navigator.mediaDevices.getUserMedia({ video: videoOf(choice) }));
}

export async function openMicrophone(choice) {
  return firstTrack(await navigator.mediaDevices.getUserMedia({ audio: audioOf(choice) }));
}

// For speaking to somebody whose answer comes out of this device's loudspeaker.
export async function openVoice() {
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  return firstTrack(await navigator.mediaDevices.getUserMedia({ audio }));
}

// Both, so that a person is asked once.
export async function openBoth(choice) {
  const stream = await navigator.mediaDevices.getUserMedia({ video: videoOf(choice), audio: audioOf(choice) });
  return stream.getTracks();
}

function videoOf({ camera, facing, size }) {
  const video = {
    width: { ideal: Math.round((size * 16) / 9 / 2) * 2 },
    height: { ideal: size },
    frameRate: { ideal: FRAME_RATE },
  };
  if (camera) video.deviceId = { exact: camera };
  else if (facing) video.facingMode = { ideal: facing };
  return video;
}

// A camera is to hear what is far away, and nobody speaks to it: what browsers do for calls takes sounds away that matter.
function audioOf({ microphone }) {
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: true };
  if (microphone) audio.deviceId = { exact: microphone };
  return audio;
}

// { cameras, microphones } of { id, label }; labels are empty before the user has allowed anything.
export async function listDevices() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const ofKind = (kind) => devices
    .filter((device) => device.kind === kind && device.deviceId)
    .map(({ deviceId, label }, index) => ({ id: deviceId, label: label || `${index + 1}` }));
  return { cameras: ofKind('videoinput'), microphones: ofKind('audioinput') };
}

function firstTrack(stream) {
  return stream.getTracks()[0];
}
