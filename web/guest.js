// What a link opens, asked with its token.

import { at } from './base.js';
import { Failure, failureFromResponse } from './failure.js';
import { request } from './request.js';

const TIMEOUT_MS = 5000;

// { camera, ... } of the link; throws a Failure.
export async function linkOf(token) {
  const response = await request(at('/api/v1/user'), { headers: { Authorization: `Bearer ${token}` } }, TIMEOUT_MS);
  if (!response.ok) throw await failureFromResponse(response);
  const { link, actions } = response.json();
  // Something else than a link stands there, which lets somebody in who needs none.
  if (!link) throw new Failure('link-ended');
  return { ...link, actions };
}
