// The one place that turns a cause into a sentence, and a player's facts into the state of its tile.
//
// describe(...) -> { state, label, text, reason, nextTryAt }
//   state      idle | connecting | playing | stalled | offline | error
//   label      the state in one word
//   text       why there is no running picture, or only part of one; else empty
//   reason     what the gateway says is the matter, without the seconds and rates in `text` that change all the time; else empty
//   nextTryAt  Date.now() of the next attempt (countdown() words it), or null

const LABELS = {
  idle: 'Paused',
  connecting: 'Connecting',
  playing: 'Live',
  stalled: 'Frozen',
  offline: 'No picture',
  error: 'No picture',
};

export function describe(facts) {
  const { state, text, reason = '', nextTryAt = null } = judge(facts);
  return { state, label: LABELS[state], text, reason, nextTryAt };
}

export function countdown(nextTryAt) {
  if (nextTryAt === null) return '';
  const seconds = Math.ceil((nextTryAt - Date.now()) / 1000);
  return seconds > 0 ? `Next try in ${seconds} s.` : 'Trying again now.';
}

// client: a WhepClient; camera: from CameraFeed or null; gatewayNow: ms, on the gateway's clock;
// playRefused: the browser did not let the element play.
function judge({ name, client, camera, gatewayNow, playRefused }) {
  const { state, cause, retryAt } = client;
  if (state === 'idle') return { state: 'idle', text: 'Paused while out of sight.' };
  if (state === 'playing') return playing(name, client, camera, playRefused);

  const isAboutCamera = !cause || ['camera-not-live', 'no-media', 'no-frames'].includes(cause.code);
  if (isAboutCamera && camera?.isDown) {
    return { state: 'offline', text: offline(name, camera, gatewayNow), reason: camera.reason ?? '', nextTryAt: camera.retryAt };
  }
  if (state === 'stalled') return { state: 'stalled', text: stalled(name, client, camera) };
  if (state === 'connecting' && client.isConnected && client.path?.reason) {
    return { state: 'connecting', text: sentence(client.path.reason), reason: client.path.code };
  }
  if (state === 'connecting' && !cause) return { state: 'connecting', text: connecting(name, client, camera) };

  // While a new attempt runs, the old reason stands until it is disproved: no flicker, nothing to hear twice.
  return {
    state: cause.code === 'camera-not-live' ? 'offline' : 'error',
    text: failed(name, cause, camera),
    nextTryAt: cause.isFinal ? null : retryAt ?? Date.now(),
  };
}

function playing(name, client, camera, playRefused) {
  if (playRefused) {
    return { state: 'error', text: 'This browser did not let the picture start by itself. Press play.' };
  }
  if (!client.hasVideo) {
    const text = camera?.video
      ? `Sound only: this browser cannot play ${name}’s video (${camera.video.codec}).`
      : `${name} sends sound only.`;
    return { state: 'playing', text };
  }
  if (client.path?.leaves_out && client.path.reason) {
    return { state: 'playing', text: sentence(client.path.reason), reason: client.path.code };
  }
  return { state: 'playing', text: camera?.video?.b_frames ? sentence(camera.video_note) : '' };
}

function connecting(name, client, camera) {
  if (client.isConnected) return 'Connected. Waiting for the first picture.';
  if (camera?.state === 'idle' || camera?.state === 'connecting') return `Starting ${name}.`;
  return 'Connecting.';
}

function stalled(name, client, camera) {
  if (client.path?.leaves_out && client.path.reason) return sentence(client.path.reason);
  if (client.cause.code === 'no-frames') return undecodable(name, camera);
  if (camera?.state === 'idle' || camera?.state === 'connecting') return `${name} is starting again.`;
  const seconds = Math.round((performance.now() - client.lastFrameAt) / 1000);
  return `No new picture from ${name} for ${seconds} s.`;
}

function offline(name, camera, gatewayNow) {
  const since = new Date(camera.downSince);
  const reason = camera.reason ? `: ${clause(camera.reason)}` : '';
  if (camera.state === 'stopped') return `${name} is stopped${reason}.`;
  return `No picture from ${name} since ${clockTime(since, gatewayNow)} (${duration(gatewayNow - since)})${reason}.`;
}

function failed(name, cause, camera) {
  switch (cause.code) {
    case 'camera-not-live':
      return cause.detail ?? `${name} does not play.`;
    case 'camera-not-found':
      return cause.detail ?? `This gateway has no camera named “${name}”.`;
    case 'no-common-codec':
      return noCommonCodec(name, cause, camera);
    case 'gateway-full':
      return cause.detail ?? 'The gateway is full: it has no room for another viewer.';
    case 'too-many-requests':
      return cause.detail ?? 'This device asks the gateway more often than it allows.';
    case 'gateway-unreachable':
      return navigator.onLine === false
        ? 'This device is not connected to a network.'
        : `The gateway at ${location.host} cannot be reached.`;
    case 'gateway-silent':
      return `The gateway at ${location.host} does not answer.`;
    case 'network-blocked':
      return cause.detail ? `No picture got through. ${cause.detail}` : networkBlocked(cause.candidates);
    case 'connection-lost':
      return 'The connection to the gateway was lost.';
    case 'session-ended':
      return cause.detail ?? 'The gateway ended this session.';
    case 'no-media':
      return `The picture from ${name} stopped although the camera is live.`;
    case 'no-frames':
      return undecodable(name, camera);
    case 'login-needed':
      return 'You are not logged in any more.';
    case 'not-allowed':
      return cause.detail ?? `You are not allowed to watch ${name}.`;
    case 'link-ended':
      return linkTrouble(cause);
    case 'no-webrtc':
      return 'This browser has no WebRTC, so it cannot show live pictures. '
        + 'A current Chrome, Edge, Firefox or Safari can.';
    case 'bad-answer':
      return `This browser did not accept the gateway’s answer: ${clause(cause.detail)}.`;
    case 'browser-error':
      return `This browser could not start a session: ${clause(cause.detail)}.`;
    default:
      return cause.detail ?? `The gateway answered with an error (HTTP ${cause.status}).`;
  }
}

// Why a login came to nothing.
export function loginTrouble({ code, detail, retryAfterSeconds }) {
  switch (code) {
    case 'login-needed':
      return detail ?? 'The name or the password is wrong.';
    case 'too-many-requests':
      return `There were too many wrong names or passwords. Try again in ${duration(retryAfterSeconds * 1000)}.`;
    case 'gateway-full':
      return 'Too many people are logging in. Try again in a moment.';
    case 'gateway-unreachable':
    case 'gateway-silent':
      return `The gateway at ${location.host} does not answer.`;
    default:
      return detail ?? 'The login did not work.';
  }
}

// Why a link shows nothing.
export function linkTrouble({ code, detail, retryAfterSeconds }) {
  switch (code) {
    case 'link-ended':
      return 'This link has ended, or it is not whole. Ask whoever gave it to you for another one.';
    case 'too-many-requests':
      return `Too many links that do not exist came from your network. This page tries again in ${duration(retryAfterSeconds * 1000)}.`;
    case 'gateway-unreachable':
    case 'gateway-silent':
      return `The gateway at ${location.host} does not answer. This page keeps trying.`;
    default:
      return detail ?? 'This link does not work now. This page keeps trying.';
  }
}

// Why links cannot be made or ended.
export function sharingTrouble({ code, detail }) {
  switch (code) {
    case 'login-needed':
      return 'You are not logged in any more.';
    case 'gateway-unreachable':
    case 'gateway-silent':
      return `The gateway at ${location.host} does not answer.`;
    default:
      return detail ?? 'The gateway did not do it.';
  }
}

export function untilWhen(expires) {
  const left = Date.parse(expires) - Date.now();
  return left > 0 ? `ends in ${duration(left)}` : 'has ended';
}

export function watchingBy({ viewers, watching }) {
  if (viewers) return `${watching} of ${counted(viewers, 'viewer')}`;
  return watching ? counted(watching, 'viewer') : 'nobody is watching';
}

// Why this page has no camera or microphone. name: of a DOMException (W3C Media Capture and Streams section 10), or our own.
export function captureTrouble({ name, kind = 'camera', detail }) {
  switch (name) {
    case 'insecure':
      return `Browsers give a ${kind} only to pages that come over HTTPS, or from this machine itself: open https://${location.host} `
        + 'after [http.tls] was set up in config.toml.';
    case 'unsupported':
      return `This browser gives pages no ${kind}. A current Chrome, Edge, Firefox or Safari does.`;
    case 'no-encoder':
      return 'This browser cannot encode H.264, which camgate needs. Chrome, Edge and Safari can; Firefox needs its OpenH264 plugin '
        + 'switched on.';
    case 'NotAllowedError':
    case 'SecurityError':
      return `This page may not use the ${kind}: allow it in the browser’s address bar, or in the settings of the system.`;
    case 'NotFoundError':
    case 'OverconstrainedError':
      return `This device has no ${kind}, or it is not connected.`;
    case 'NotReadableError':
    case 'AbortError':
      return `The ${kind} is busy: close other programs and pages that use it. This page tries again by itself.`;
    case 'ended':
      return `The ${kind} was disconnected, or another program took it. This page tries again by itself.`;
    default:
      return `The ${kind} could not be opened: ${clause(detail)}.`;
  }
}

// Why somebody who talks is not heard, or not any more.
export function talkTrouble({ code, detail, candidates }) {
  switch (code) {
    case 'network-blocked':
      return detail ? `Nothing got through. ${detail}` : networkBlocked(candidates);
    case 'connection-lost':
      return 'The connection to the gateway broke off. Talk again.';
    case 'login-needed':
      return 'You are not logged in any more: reload this page.';
    case 'gateway-unreachable':
    case 'gateway-silent':
      return `The gateway at ${location.host} does not answer.`;
    default:
      return detail ?? 'You are not heard. Talk again.';
  }
}

// How publishing fares. client: a WhipClient, or null while nobody wants to.
export function publishing({ name, client }) {
  if (!client) return { state: 'idle', text: 'Not live.', nextTryAt: null };
  const { state, cause, retryAt } = client;
  if (state === 'playing') return { state: 'playing', text: 'Live.', nextTryAt: null };
  if (state === 'stalled') return { state: 'stalled', text: 'Connected, but this device’s camera gives no picture.', nextTryAt: null };
  if (!cause || cause.code === 'tracks-changed') return { state: 'connecting', text: 'Connecting.', nextTryAt: null };
  return { state: 'error', text: unpublished(name, cause), nextTryAt: cause.isFinal ? null : retryAt };
}

function unpublished(name, cause) {
  switch (cause.code) {
    case 'camera-not-found':
      return `This gateway has no camera named “${name}” that you may publish.`;
    case 'camera-not-live':
      return cause.detail ?? `Somebody else publishes ${name} now.`;
    case 'no-common-codec':
      return cause.detail ?? 'This browser and the gateway have no codec in common.';
    case 'not-allowed':
      return cause.detail ?? `You are not allowed to publish ${name}.`;
    case 'network-blocked':
      return cause.detail ? `Nothing got through. ${cause.detail}` : networkBlocked(cause.candidates);
    default:
      return failed(name, cause, null);
  }
}

// Of `video_code`: what keeps a browser from showing pictures that arrive.
const UNDECODABLE = ['b-frames', 'picture-too-large', 'rare-profile'];

function undecodable(name, camera) {
  if (UNDECODABLE.includes(camera?.video_code)) return sentence(camera.video_note);
  const codec = camera?.video ? ` (${camera.video.codec}, profile ${camera.video.profile_level_id})` : '';
  return `Video arrives from ${name}, but this browser cannot decode it${codec}. `
    + 'Switching B-frames or “smart codec” off in the camera often helps.';
}

function noCommonCodec(name, cause, camera) {
  const receives = RTCRtpReceiver.getCapabilities?.('video')?.codecs ?? [];
  const hasH264 = receives.some(({ mimeType }) => mimeType.toLowerCase() === 'video/h264');
  if (!hasH264 && (camera?.video?.codec ?? 'H264') === 'H264') {
    return `This browser cannot decode H.264, which ${name} sends. `
      + 'Chrome, Edge and Safari can; Firefox needs its OpenH264 plugin switched on.';
  }
  return cause.detail ?? `This browser and ${name} have no codec in common.`;
}

function networkBlocked(candidates = []) {
  const begin = 'The gateway answered, but no media packet got through';
  if (candidates.length === 0) return `${begin}: its answer names no address to send to.`;
  const transports = unique(candidates.map(({ transport }) => transport.toUpperCase())).join(' and ');
  const ports = unique(candidates.map(({ port }) => port)).join(', ');
  const addresses = unique(candidates.map(({ address }) => address));
  const sentence = `${begin}: ${transports} port ${ports} at ${listed(addresses)} may be blocked.`;
  // Docker's default bridges live in 172.16.0.0/12; no other machine can reach them.
  const isContainer = addresses.every((address) => /^172\.(1[6-9]|2\d|3[01])\./.test(address));
  if (!isContainer || addresses.includes(location.hostname)) return sentence;
  return `${sentence} That looks like a container’s own address: add the host’s to advertise under [webrtc] in config.toml.`;
}

// What the gateway says behind a colon, as a sentence of its own.
function sentence(reason) {
  return `${reason[0].toUpperCase()}${reason.slice(1)}.`;
}

// "Wrong password." -> "wrong password", but "RTSP says 401." keeps its capitals.
function clause(sentence = '') {
  const bare = sentence.trim().replace(/\.$/, '');
  return /^[A-Z][a-z]/.test(bare) ? bare[0].toLowerCase() + bare.slice(1) : bare;
}

// en-GB: 24 hours, as on the camera's own overlay, whatever the browser's locale.
function clockTime(date, now) {
  const isToday = date.toDateString() === new Date(now).toDateString();
  const day = isToday ? {} : { day: 'numeric', month: 'short' };
  return new Intl.DateTimeFormat('en-GB', { ...day, hour: '2-digit', minute: '2-digit' }).format(date);
}

function duration(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return counted(seconds, 'second');
  if (seconds < 3600) return counted(Math.floor(seconds / 60), 'minute');
  if (seconds < 48 * 3600) return counted(Math.floor(seconds / 3600), 'hour');
  return counted(Math.floor(seconds / 86_400), 'day');
}

function counted(number, unit) {
  return `${number} ${unit}${number === 1 ? '' : 's'}`;
}

function listed(items) {
  return items.length > 3 ? `${items.slice(0, 3).join(', ')} and ${items.length - 3} more` : items.join(', ');
}

function unique(items) {
  return [...new Set(items)];
}
