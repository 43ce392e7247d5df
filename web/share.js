// The page of a link: /share#<token>. Browsers send what is behind the # to nobody, so that the address can stay as it is:
// it can be reloaded, kept, and given to OBS. stage.js tells its parameters, which stand before the #.

import { at } from './base.js';
import { element } from './element.js';
import { linkOf } from './guest.js';
import { stage } from './stage.js';
import { linkTrouble } from './words.js';

const AGAIN_MS = 5000;

// What others hear of cameras is not for those with a link; why there is no picture the answer to the offer tells.
const feed = { find: () => null, now: () => Date.now() };
const trouble = document.getElementById('trouble');
const token = location.hash.slice(1);

// Another link in the same tab changes nothing but the part behind the #.
addEventListener('hashchange', () => location.reload());
begin();

async function begin() {
  try {
    const { camera, actions } = await linkOf(token || 'cgs_');
    trouble.hidden = true;
    stage(camera, feed, { token }).start();
    if (actions?.includes('publish')) offerPublishing();
  } catch (failure) {
    tell(failure);
    if (failure.code !== 'link-ended') setTimeout(begin, Math.max(AGAIN_MS, (failure.retryAfterSeconds ?? 0) * 1000));
  }
}

function offerPublishing() {
  const way = element('a', { href: `${at('/publish')}#${token}`, class: 'publish-way' }, 'Use this device as the camera');
  document.querySelector('main').append(way);
}

function tell(failure) {
  trouble.textContent = linkTrouble(failure);
  trouble.hidden = false;
}
