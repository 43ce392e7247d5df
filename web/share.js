// The page of a link: /share#<token>. Browsers send what is behind the # to nobody, so that the address can stay as it is:
// it can be reloaded, kept, and given to OBS. stage.js tells its parameters, which stand before the #.

import { at } from './base.js';
import { failureFromResponse } from './failure.js';
import { request } from './request.js';
import { stage } from './stage.js';
import { linkTrouble } from './words.js';

const TIMEOUT_MS = 5000;
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
    const response = await request(at('/api/v1/user'), { headers: { Authorization: `Bearer ${token || 'cgs_'}` } }, TIMEOUT_MS);
    if (!response.ok) throw await failureFromResponse(response);
    const { link } = response.json();
    // Something else than a link stands there, which lets somebody in who needs none.
    if (!link) return tell({ code: 'link-ended' });
    trouble.hidden = true;
    stage(link.camera, feed, { token }).start();
  } catch (failure) {
    tell(failure);
    if (failure.code !== 'link-ended') setTimeout(begin, Math.max(AGAIN_MS, (failure.retryAfterSeconds ?? 0) * 1000));
  }
}

function tell(failure) {
  trouble.textContent = linkTrouble(failure);
  trouble.hidden = false;
}
