// The login page: a name and a password become a cookie that scripts cannot read. Nothing of either is kept here.

import { at } from './base.js';
import { Failure, failureFromResponse } from './failure.js';
import { request } from './request.js';
import { loginTrouble } from './words.js';

const TIMEOUT_MS = 15_000;

const [form, trouble, name, password, submit] = ['login', 'trouble', 'name', 'password', 'submit']
  .map((id) => document.getElementById(id));

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  submit.disabled = true;
  trouble.hidden = true;
  try {
    await logIn();
    location.replace(destination());
  } catch (error) {
    const failure = error instanceof Failure ? error : new Failure('browser-error', { detail: error.message });
    trouble.textContent = loginTrouble(failure);
    trouble.hidden = false;
    password.value = '';
    password.focus();
  } finally {
    submit.disabled = false;
  }
});

async function logIn() {
  const response = await request(at('/login'), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'application/problem+json' },
    body: JSON.stringify({ name: name.value, password: password.value }),
  }, TIMEOUT_MS);
  if (!response.ok) throw await failureFromResponse(response);
}

// Where somebody wanted to go; never to another site, whatever the link here said.
function destination() {
  const next = new URLSearchParams(location.search).get('next') ?? at('/');
  try {
    const url = new URL(next, location.origin);
    return url.origin === location.origin ? url.href : at('/');
  } catch {
    return at('/');
  }
}
