// fetch with a deadline; every way of not getting a response becomes a Failure.

import { failureFromFetch } from './failure.js';

export async function request(url, options, timeoutMs) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), timeoutMs);
  try {
    const response = await fetch(url, { cache: 'no-store', ...options, signal: controller.signal });
    // The body is read under the same deadline: a gateway that stalls halfway is silent too.
    const body = await response.arrayBuffer();
    return withBody(response, body);
  } catch (error) {
    throw failureFromFetch(error);
  } finally {
    clearTimeout(timer);
  }
}

// The facade keeps `url`, which a Response built by hand would lose; a relative Location needs it.
function withBody(response, bytes) {
  const text = new TextDecoder().decode(bytes);
  return {
    ok: response.ok,
    status: response.status,
    url: response.url,
    headers: response.headers,
    text: () => text,
    json: () => JSON.parse(text),
    blob: () => new Blob([bytes], { type: response.headers.get('Content-Type') ?? '' }),
  };
}
