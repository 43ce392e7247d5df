// Why a WHEP session could not begin or did not last, with a code that machines can compare.
// The sentence for people is made in words.js.

const BY_STATUS = new Map([
  [400, 'offer-refused'],
  [401, 'login-needed'],
  [403, 'not-allowed'],
  [404, 'camera-not-found'],
  [409, 'camera-not-live'],
  // An offer is answered so only to a link.
  [410, 'link-ended'],
  [415, 'offer-refused'],
  [422, 'no-common-codec'],
  [429, 'too-many-requests'],
  [503, 'gateway-full'],
]);

// Only a person can change these: asking every second would be noise in the gateway's log.
const PATIENT_SECONDS = 15;
const PATIENT = new Set(['camera-not-found', 'login-needed', 'no-common-codec', 'not-allowed', 'offer-refused', 'bad-answer', 'browser-error']);

export class Failure extends Error {
  constructor(code, facts = {}) {
    super(facts.detail ?? code);
    this.name = 'Failure';
    this.code = code;
    Object.assign(this, facts);
    if (PATIENT.has(code)) this.retryAfterSeconds = Math.max(PATIENT_SECONDS, this.retryAfterSeconds ?? 0);
  }

  // No second attempt can help.
  get isFinal() {
    return this.code === 'no-webrtc' || this.code === 'link-ended';
  }
}

// An error response, with its RFC 9457 problem document if it has one.
export async function failureFromResponse(response) {
  const problem = await problemDocument(response);
  return new Failure(BY_STATUS.get(response.status) ?? 'gateway-error', {
    status: response.status,
    detail: problem?.detail,
    reason: problem?.reason,
    reasonCode: problem?.code,
    retryAfterSeconds: retryAfter(response.headers.get('Retry-After')),
  });
}

export function failureFromFetch(error) {
  const code = error.name === 'AbortError' ? 'gateway-silent' : 'gateway-unreachable';
  return new Failure(code, { cause: error });
}

async function problemDocument(response) {
  const type = response.headers.get('Content-Type') ?? '';
  if (!/^application\/(problem\+)?json/i.test(type)) return null;
  try {
    return await response.json();
  } catch {
    return null;
  }
}

// RFC 9110 10.2.3: delta-seconds or an HTTP-date.
function retryAfter(value) {
  if (!value) return 0;
  if (/^\d+$/.test(value)) return Number(value);
  const seconds = (Date.parse(value) - Date.now()) / 1000;
  return seconds > 0 ? seconds : 0;
}
