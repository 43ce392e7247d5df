// Watches a WHEP URL by the page's own session (web/session.js), and tells when what was there, in
// milliseconds after its beginning, and by which way media came. Ends with the first frame, with the
// session's failure, or after `limit` milliseconds.
async (url, limit) => {
  const { WhepSession } = await import('/assets/session.js');
  const video = document.createElement('video');
  video.id = 'bare';
  video.muted = true;
  video.autoplay = true;
  document.body.append(video);
  const stream = new MediaStream();
  video.srcObject = stream;
  const session = new WhepSession(url);
  const start = performance.now();
  const times = { answer: null, connected: null, firstFrame: null, failure: null, path: null };
  window.__session = session;
  const ended = new Promise((resolve) => {
    setTimeout(resolve, limit);
    session.addEventListener('track', ({ detail }) => stream.addTrack(detail.track));
    session.addEventListener('connected', () => { times.connected ??= performance.now() - start; });
    session.addEventListener('lost', ({ detail }) => {
      times.failure = { code: detail.code, detail: detail.detail ?? null };
      resolve();
    });
    video.requestVideoFrameCallback(() => {
      times.firstFrame = performance.now() - start;
      resolve();
    });
  });
  try {
    await session.open();
    times.answer = performance.now() - start;
  } catch (error) {
    times.failure = { code: error.code ?? 'error', detail: error.message };
    return times;
  }
  await ended;
  const stats = await session.connection.getStats();
  const transport = [...stats.values()].find(({ type }) => type === 'transport');
  const pair = stats.get(transport?.selectedCandidatePairId);
  const local = stats.get(pair?.localCandidateId);
  const remote = stats.get(pair?.remoteCandidateId);
  if (local) times.path = `${local.relayProtocol ? `TURN over ${local.relayProtocol}, ` : ''}${local.protocol} ${local.candidateType} to ${remote.candidateType}`;
  return times;
}
