// One WHEP or WHIP session: one offer, one answer, one RTCPeerConnection, one resource to DELETE.
// It does not try again; that is the client's part (whep.js). What goes through it, and which way, is the business of its
// media (receiving.js).
//
// Events: `track` (RTCTrackEvent's fields in `detail`), `connected`, `lost` (a Failure in `detail`).
//
// When the network changes under it, the session restarts ICE (WHEP section 4.5.3, RFC 9725 section 4.3.3) and keeps everything
// else.

import { Failure, failureFromResponse } from './failure.js';
import { answerAfterRestart, iceFragment } from './fragment.js';
import { iceServersFromLink } from './link.js';
import { Receiving } from './receiving.js';
import { request } from './request.js';

// The gateway learns peer-reflexive addresses, so an offer need not wait for every candidate; what comes later is trickled.
const GATHERING_MS = 300;
const AFTER_FIRST_CANDIDATE_MS = 20;
const OPTIONS_TIMEOUT_MS = 3000;
// An on-demand camera may have to start before the gateway can answer.
const POST_TIMEOUT_MS = 15_000;
const DIAGNOSIS_TIMEOUT_MS = 2000;
const CONNECT_DEADLINE_MS = 10_000;
const PATCH_TIMEOUT_MS = 3000;
const QUALITY_TIMEOUT_MS = 3000;
// How long a session may be `disconnected`, through as many ICE restarts as fit. The gateway gives up after 15 s.
const DISCONNECTED_MS = 10_000;
const RESTART_AGAIN_MS = 1500;

export class WhepSession extends EventTarget {
  #url;
  #iceServers;
  #authorization;
  #connection = null;
  #media;
  #resource = null;
  // The offer as far as the gateway knows it, and the tag of its side of ICE.
  #told = null;
  #trickleTimer = 0;
  #candidates = [];
  #answer = '';
  #timer = 0;
  #restartTimer = 0;
  #isRestarting = false;
  #wasConnected = false;
  #closed = false;
  #losing = false;

  // Without `iceServers` the session asks the gateway for them. `token` goes with each request, as of a link.
  constructor(url, { iceServers, token, media = new Receiving() } = {}) {
    super();
    this.#media = media;
    this.#url = url;
    this.#iceServers = iceServers;
    this.#authorization = token ? { Authorization: `Bearer ${token}` } : {};
  }

  get connection() {
    return this.#connection;
  }

  get hasVideo() {
    return this.#media.hasVideo;
  }

  get hasAudio() {
    return this.#media.hasAudio;
  }

  // The data channel, of a session that receives (channel.js).
  get channel() {
    return this.#media.channel ?? null;
  }

  // { packets, frames } that have come, or gone, so far.
  progress() {
    return this.#media.progress();
  }

  // Resolves when the answer is in place; rejects with a Failure.
  async open() {
    if (typeof RTCPeerConnection === 'undefined') throw new Failure('no-webrtc');
    const iceServers = this.#iceServers ?? this.#fetchIceServers();
    const offer = await this.#offer(iceServers);
    const response = await this.#request(this.#url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp', Accept: 'application/sdp, application/problem+json' },
      body: offer,
    }, POST_TIMEOUT_MS);
    if (!response.ok) throw await failureFromResponse(response);

    const location = response.headers.get('Location');
    if (location) this.#resource = new URL(location, response.url).href;
    this.#told = { offer, tag: response.headers.get('ETag') ?? '*' };
    if (this.#closed) {
      // Closed while the gateway was answering: only now is there something to delete.
      this.#deleteResource();
      throw new Failure('closed');
    }
    if (this.#connection.localDescription.sdp !== offer) this.#trickleSoon();
    await this.#accept(response.text());
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#restartTimer);
    clearTimeout(this.#trickleTimer);
    this.#connection?.close();
    this.#deleteResource();
  }

  #trickleSoon() {
    clearTimeout(this.#trickleTimer);
    if (this.#told && this.#resource) this.#trickleTimer = setTimeout(() => this.#trickle(), AFTER_FIRST_CANDIDATE_MS);
  }

  // Tells the gateway what came too late for the offer, as answers of STUN and TURN servers do: a gateway behind a router of
  // its own has to send to these addresses before the router lets anything in from there.
  async #trickle() {
    if (this.#closed || this.#wasConnected) return;
    const { offer, tag } = this.#told;
    const { sdp } = this.#connection.localDescription;
    this.#told = { offer: sdp, tag };
    await this.#request(this.#resource, {
      method: 'PATCH',
      headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': tag },
      body: iceFragment(sdp, offer),
      // There may be another way, and the connection itself tells if there is none.
    }, PATCH_TIMEOUT_MS).catch((error) => console.warn('camgate: late candidates were not taken', error));
  }

  // Finds a new way to the gateway. The old one is used until then, so that it costs nothing to try.
  async restart() {
    if (this.#closed || !this.#wasConnected || this.#isRestarting || !this.#resource) return;
    this.#isRestarting = true;
    clearTimeout(this.#restartTimer);
    try {
      await this.#exchange();
    } catch (error) {
      await this.#undoOffer();
      // The session is over: one that ended otherwise than by its viewer's wish is 410.
      if (error.status === 410) this.#lose('session-ended');
      if (error.status === 404) this.#lose('connection-lost');
    } finally {
      this.#isRestarting = false;
    }
    this.#restartTimer = setTimeout(() => {
      if (this.#connection.connectionState !== 'connected') this.restart();
    }, RESTART_AGAIN_MS);
  }

  async #exchange() {
    const connection = this.#connection;
    connection.restartIce();
    await this.#setOffer(await connection.createOffer());
    await gathered(connection);
    const response = await this.#request(this.#resource, {
      method: 'PATCH',
      headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*' },
      body: iceFragment(connection.localDescription.sdp),
    }, PATCH_TIMEOUT_MS);
    if (!response.ok) throw await failureFromResponse(response);
    this.#answer = answerAfterRestart(this.#answer, response.text());
    await connection.setRemoteDescription({ type: 'answer', sdp: this.#answer });
  }

  async #setOffer({ type, sdp }) {
    try {
      await this.#connection.setLocalDescription({ type, sdp: this.#media.describe(sdp) });
    } catch {
      await this.#connection.setLocalDescription({ type, sdp });
    }
  }

  async #undoOffer() {
    const connection = this.#connection;
    if (connection.signalingState !== 'have-local-offer') return;
    await connection.setLocalDescription({ type: 'rollback' }).catch(() => {});
  }

  // Tells the gateway how late the picture is on this screen (milliseconds, null while unknown). Answers with what it knows
  // of the way here ({ estimate_bps, queueing_ms, leaves_out }) and `ahead`, its clock less performance.now(); or null.
  async quality(delay) {
    if (!this.#resource || !this.#media.asksQuality) return null;
    const asked = performance.now();
    try {
      const response = await this.#request(`${this.#resource}/quality`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(delay === null ? {} : { camera_to_screen_ms: delay }),
      }, QUALITY_TIMEOUT_MS);
      if (!response.ok) return null;
      const heard = response.json();
      return { ...heard, ahead: heard.now_ms - (asked + performance.now()) / 2 };
    } catch {
      return null;
    }
  }

  #request(url, options, timeoutMs) {
    return request(url, { ...options, headers: { ...options.headers, ...this.#authorization } }, timeoutMs);
  }

  async #fetchIceServers() {
    const response = await this.#request(this.#url, { method: 'OPTIONS' }, OPTIONS_TIMEOUT_MS);
    return iceServersFromLink(response.headers.get('Link'));
  }

  async #offer(iceServers) {
    const connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    this.#connection = connection;
    connection.addEventListener('icecandidate', ({ candidate }) => candidate && this.#trickleSoon());
    connection.addEventListener('connectionstatechange', () => this.#onConnectionState());
    this.#media.attach(connection, (detail) => this.dispatchEvent(new CustomEvent('track', { detail })));

    // The ICE servers are on their way while the offer is made: gathering begins only afterwards.
    const [offer, servers] = await Promise.all([connection.createOffer(), iceServers]);
    if (this.#closed) throw new Failure('closed');
    if (servers.length > 0) this.#configure(servers);
    await this.#setOffer(offer);
    await gathered(connection);
    if (this.#closed) throw new Failure('closed');
    return connection.localDescription.sdp;
  }

  #configure(iceServers) {
    try {
      this.#connection.setConfiguration({ bundlePolicy: 'max-bundle', iceServers });
    } catch (error) {
      // On a LAN the picture comes without them.
      console.warn('camgate: unusable ICE servers', error);
    }
  }

  async #accept(told) {
    const answer = this.#media.understand(told);
    this.#answer = answer;
    this.#candidates = candidatesIn(answer);
    try {
      await this.#connection.setRemoteDescription({ type: 'answer', sdp: answer });
    } catch (error) {
      if (this.#closed) throw new Failure('closed');
      throw new Failure('bad-answer', { detail: error.message, cause: error });
    }
    if (!this.hasVideo && !this.hasAudio) throw new Failure('no-common-codec');
    // The connection's own state does not tell a DTLS close_notify apart; the transport's does.
    const { transport } = this.#media;
    transport?.addEventListener('statechange', () => {
      if (transport.state === 'failed') this.#lose('connection-lost');
      if (transport.state === 'closed') this.#lose('session-ended');
    });
    if (!this.#wasConnected) this.#loseAfter(CONNECT_DEADLINE_MS, 'network-blocked');
  }

  #onConnectionState() {
    switch (this.#connection.connectionState) {
      case 'connected':
        clearTimeout(this.#timer);
        clearTimeout(this.#restartTimer);
        this.#wasConnected = true;
        this.dispatchEvent(new Event('connected'));
        break;
      case 'disconnected':
        this.#loseAfter(DISCONNECTED_MS, 'connection-lost');
        this.restart();
        break;
      case 'failed':
      case 'closed':
        this.#lose(this.#wasConnected ? 'connection-lost' : 'network-blocked');
        break;
    }
  }

  #loseAfter(milliseconds, code) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lose(code), milliseconds);
  }

  async #lose(code) {
    if (this.#closed || this.#losing) return;
    this.#losing = true;
    const facts = code === 'connection-lost' ? {} : await this.#diagnosis(code);
    if (this.#closed) return;
    const failure = new Failure(code, { candidates: this.#candidates, ...facts });
    this.dispatchEvent(new CustomEvent('lost', { detail: failure }));
  }

  // What the gateway says of a session that is over. One that never connected is ended for that.
  async #diagnosis(code) {
    const resource = this.#resource;
    if (!resource) return {};
    this.#resource = null;
    try {
      if (code === 'network-blocked') await this.#request(resource, { method: 'DELETE' }, DIAGNOSIS_TIMEOUT_MS);
      const response = await this.#request(resource, { headers: { Accept: 'application/problem+json' } }, DIAGNOSIS_TIMEOUT_MS);
      if (response.status !== 410) return {};
      const { detail, reasonCode } = await failureFromResponse(response);
      return { detail, reasonCode };
    } catch {
      return {};
    }
  }

  #deleteResource() {
    if (!this.#resource) return;
    // keepalive, because the page may be closing; a session that is gone already is no news.
    fetch(this.#resource, { method: 'DELETE', keepalive: true, headers: this.#authorization }).catch(() => {});
    this.#resource = null;
  }
}

function gathered(connection) {
  return new Promise((resolve) => {
    setTimeout(resolve, GATHERING_MS);
    connection.addEventListener('icecandidate', ({ candidate }) => {
      if (candidate) setTimeout(resolve, AFTER_FIRST_CANDIDATE_MS);
      else resolve();
    });
  });
}

// RFC 8839: candidate:<foundation> <component> <transport> <priority> <address> <port> ...
function candidatesIn(sdp) {
  const lines = sdp.matchAll(/^a=candidate:\S+ \d+ (\S+) \d+ (\S+) (\d+)/gm);
  return [...lines].map(([, transport, address, port]) => ({
    transport: transport.toLowerCase(), address, port: Number(port),
  }));
}
