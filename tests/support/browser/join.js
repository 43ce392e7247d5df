// The least a browser needs to watch a WHEP URL, with the times of each step in milliseconds after
// the POST. Ends when the first frame was presented, or after `limit` milliseconds.
async (url, limit, audio) => {
  const pc = new RTCPeerConnection();
  const video = document.createElement('video');
  video.id = 'bare';
  video.muted = true;
  video.autoplay = true;
  video.playsInline = true;
  document.body.append(video);
  const times = { error: null };
  const bare = (window.__bare = { pc, video, times, resource: null });
  const stream = new MediaStream();
  video.srcObject = stream;
  pc.addTransceiver('video', { direction: 'recvonly' });
  if (audio) pc.addTransceiver('audio', { direction: 'recvonly' });
  pc.ontrack = (event) => stream.addTrack(event.track);
  let start = performance.now();
  const since = () => performance.now() - start;
  pc.addEventListener('connectionstatechange', () => {
    if (pc.connectionState === 'connected') times.connected = since();
  });
  const presented = new Promise((resolve) => {
    video.requestVideoFrameCallback((_, frame) => {
      times.firstFrame = since();
      times.width = frame.width;
      times.height = frame.height;
      resolve();
    });
  });
  await pc.setLocalDescription(await pc.createOffer());
  // The server learns our address from our own checks: no need to wait for candidates.
  start = performance.now();
  let response;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/sdp' },
      body: pc.localDescription.sdp,
    });
  } catch (error) {
    return Object.assign(times, { error: `POST ${url}: ${error}` });
  }
  const answer = await response.text();
  times.answer = since();
  if (response.status !== 201) {
    return Object.assign(times, { error: `POST ${url}: ${response.status} ${answer}` });
  }
  const location = response.headers.get('location');
  bare.resource = location && new URL(location, url).href;
  try {
    await pc.setRemoteDescription({ type: 'answer', sdp: answer });
  } catch (error) {
    return Object.assign(times, { error: `${error} in the answer:\n${answer}` });
  }
  const late = new Promise((resolve) => setTimeout(resolve, limit, true));
  if (await Promise.race([presented, late])) {
    times.error = `no frame after ${limit} ms, ${pc.connectionState}, ICE ${pc.iceConnectionState}; offer:\n`
      + `${pc.localDescription.sdp}\nanswer:\n${answer}`;
  }
  return times;
}
