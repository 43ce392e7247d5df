// Who is logged in by the login page, and the ways in and out.

import { at } from './base.js';
import { request } from './request.js';

const TIMEOUT_MS = 5000;

// Shows the user and a button to log out; nothing to those who sent a password with the request, or need none.
export async function showUser(box) {
  const user = await who();
  if (!user?.by_cookie) return;
  box.querySelector('.user-name').textContent = user.name;
  box.querySelector('button').addEventListener('click', logOut);
  box.hidden = false;
}

// Who looks at the page, by the gateway's account; null if it does not tell.
export async function who() {
  const response = await request(at('/api/v1/user'), {}, TIMEOUT_MS).catch(() => null);
  return response?.ok ? response.json() : null;
}

async function logOut() {
  await request(at('/logout'), { method: 'POST' }, TIMEOUT_MS).catch(() => {});
  location.assign(at('/login'));
}

export function toLogin() {
  location.assign(`${at('/login')}?next=${encodeURIComponent(location.pathname + location.search)}`);
}

// Whether it is for want of a login that the gateway tells nothing.
export async function needsLogin() {
  const response = await request(at('/api/v1/user'), {}, TIMEOUT_MS).catch(() => null);
  return response?.status === 401;
}
