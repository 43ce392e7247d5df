// What a camera sees and saw, as files: buttons that ask the gateway for one and give it to the browser to save.
//
//   bindDownloads(name, view, { token, channel })
//
// They come over the session's data channel where there is one, so that what lets the picture through lets them, too; else over HTTP.

import { at } from './base.js';
import { failureFromResponse } from './failure.js';
import { request } from './request.js';

// A camera that has to be connected to first takes seconds; a clip has megabytes.
const SNAPSHOT_MS = 20_000;
const CLIP_MS = 120_000;
const SAVED_MS = 2000;
const TROUBLE_MS = 15_000;

export function bindDownloads(name, { snapshot, clip, status }, { token, channel = () => null } = {}) {
  const path = `/api/v1/cameras/${encodeURIComponent(name)}`;
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const fetched = (file, timeoutMs) => fetchFile(at(`${path}/${file}`), headers, timeoutMs);
  const load = async (type, file, timeoutMs, onProgress) => {
    const open = channel();
    if (!open?.isOpen) return fetched(file, timeoutMs);
    try {
      return await open.file(type, {}, onProgress);
    } catch (failure) {
      // What was refused would be so again.
      if (failure.detail) throw failure;
      return fetched(file, timeoutMs);
    }
  };
  bind(snapshot, 'Snapshot', status, (onProgress) => load('snapshot', 'snapshot.jpg', SNAPSHOT_MS, onProgress));
  bind(clip, 'Clip', status, (onProgress) => load('clip', 'clip.mp4', CLIP_MS, onProgress));
}

function bind(button, what, status, load) {
  const words = button.textContent;
  const title = button.title;
  let timer = 0;
  // Buttons with a drawing on them have no words to change.
  const show = (text) => {
    if (words) button.textContent = text;
    else button.title = text;
  };
  const tell = (text, forMs) => {
    show(text);
    status.textContent = text;
    clearTimeout(timer);
    if (forMs) timer = setTimeout(() => (words ? (button.textContent = words) : (button.title = title)), forMs);
  };
  button.addEventListener('click', async () => {
    if (button.getAttribute('aria-busy') === 'true') return;
    button.setAttribute('aria-busy', 'true');
    tell(`${what}: one moment`);
    try {
      save(await load((share) => show(`${what}: ${Math.round(share * 100)} %`)));
      tell(`${what} saved`, SAVED_MS);
    } catch (failure) {
      tell(failure.detail ?? `${what}: the gateway does not answer`, TROUBLE_MS);
    } finally {
      button.removeAttribute('aria-busy');
    }
  });
}

async function fetchFile(url, headers, timeoutMs) {
  const response = await request(url, { headers }, timeoutMs);
  if (!response.ok) throw await failureFromResponse(response);
  const [, name] = /filename="([^"]+)"/.exec(response.headers.get('Content-Disposition') ?? '') ?? [];
  return { blob: response.blob(), name: name ?? '' };
}

function save({ blob, name }) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // Browsers take it over when the click is done with; Safari some moments later.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
