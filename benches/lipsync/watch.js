// Watches cameras side by side, each with the gateway's own player and its sound on, and notes when each picture is shown
// and when each beep is heard; all times in milliseconds of performance.now(). Defines `window.__lipsync`.
(() => {
  // Of full scale; the camera's beep has 0.49, what codecs spread before it stays far below.
  const LOUD = 0.15;
  // Milliseconds of silence that end a beep.
  const SILENCE = 300;
  const viewers = {};

  // The picture: expectedDisplayTime is when the compositor means to have it on the screen. What the canvas gets may be the
  // next picture already, in part or whole; rtpTimestamp says which one is meant.
  const see = (video, frames, isHidden) => {
    const canvas = document.createElement('canvas');
    // Four pixels for each of the 16 x 2 cells of camera/picture.rs in the top sixth; the ninth line is from the middle.
    canvas.width = 64;
    canvas.height = 9;
    const context = canvas.getContext('2d', { willReadFrequently: true });
    const note = (_, frame) => {
      const { videoWidth: width, videoHeight: height } = video;
      context.drawImage(video, 0, 0, width, height / 6, 0, 0, 64, 8);
      context.drawImage(video, 0, height / 2, width, height / 4, 0, 8, 64, 1);
      const { data } = context.getImageData(0, 0, 64, 9);
      const green = (x, y) => data[(y * 64 + x) * 4 + 1];
      let word = 0;
      for (let bit = 0; bit < 32; bit += 1) {
        word = word * 2 + (green((bit % 16) * 4 + 2, Math.floor(bit / 16) * 4 + 2) > 128 ? 1 : 0);
      }
      const number = Math.floor(word / 16) % (1 << 24);
      let check = 5;
      for (let nibble = 0; nibble < 6; nibble += 1) check ^= (number >> (nibble * 4)) & 15;
      const valid = Math.floor(word / 2 ** 28) === 10 && word % 16 === check;
      const white = [4, 12, 20, 28, 36, 44, 52, 60].every((x) => green(x, 8) > 215);
      frames.push({ at: frame.expectedDisplayTime, rtp: frame.rtpTimestamp, counter: valid ? number : null, white, hidden: isHidden() });
      video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
  };

  // The sound: a chunk's timestamp is when the audio device took it from the jitter buffer, on a clock whose distance
  // from performance.now() is the smallest that any chunk shows. A device takes several chunks at once and plays them one
  // after the other, hence `chunks`.
  const hear = async (track, sound) => {
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    let position = 0, quiet = 0;
    let samples = new Float32Array(480);
    for (;;) {
      const { value: chunk, done } = await reader.read();
      if (done) return;
      const { numberOfFrames: count, sampleRate: rate } = chunk;
      const taken = chunk.timestamp / 1e3;
      sound.shift = Math.min(sound.shift, performance.now() - taken);
      if (samples.length < count) samples = new Float32Array(count);
      chunk.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
      chunk.close();
      sound.chunks.push([position, taken]);
      for (let index = 0; index < count; index += 1) {
        if (Math.abs(samples[index]) < LOUD) {
          quiet += 1;
          continue;
        }
        if (quiet * 1e3 / rate > SILENCE) sound.beeps.push(position + index * 1e3 / rate);
        quiet = 0;
      }
      position += count * 1e3 / rate;
    }
  };

  const ask = async (stats, { player, estimates }) => {
    const found = { hold: player?.lipSync.hold };
    for (const report of (await stats())?.values() ?? []) {
      if (report.type === 'inbound-rtp') {
        found[report.kind] = report.estimatedPlayoutTimestamp;
        found[`${report.kind}Buffer`] = [report.jitterBufferDelay, report.jitterBufferEmittedCount];
        if (report.kind === 'audio') found.concealed = report.concealedSamples;
      }
      if (report.type === 'media-playout') found.device = [report.totalPlayoutDelay, report.totalSamplesCount];
    }
    estimates.push({ at: performance.now(), ...found });
  };

  const observe = (name, video, isHidden, stats) => {
    const viewer = { start: performance.now(), frames: [], estimates: [], sound: { shift: Infinity, chunks: [], beeps: [] } };
    viewers[name] = viewer;
    see(video, viewer.frames, isHidden);
    viewer.timer = setInterval(() => ask(stats, viewer), 1000);
    return viewer;
  };

  const watch = async (name, camera) => {
    const { CameraFeed } = await import('/assets/cameras.js');
    const { Player } = await import('/assets/player.js');
    const feed = new CameraFeed();
    const heard = new Promise((resolve) => feed.addEventListener('change', resolve, { once: true }));
    feed.start();
    await heard;
    const player = new Player(camera, feed, { layout: 'bare', sound: true, controls: false });
    const { video, still } = player.view;
    Object.assign(video, { width: 320, height: 180 });
    document.body.append(player.element);
    const mine = observe(name, video, () => !still.hidden, () => player.client.stats());
    Object.assign(mine, { player, feed });
    player.client.addEventListener('track', ({ detail: { track } }) => track.kind === 'audio' && hear(track, mine.sound));
    player.start();
  };

  // Ends a viewer and says what it saw and heard.
  const leave = async (name) => {
    const { player, feed, start, timer, frames, estimates, sound, source } = viewers[name];
    clearInterval(timer);
    player?.stop();
    feed?.stop();
    player?.element.remove();
    source?.stop();
    delete viewers[name];
    return { start, frames, estimates, sound, truth: source?.truth ?? null };
  };

  // A sender whose skew is known, in place of camera and gateway: a canvas and an oscillator of this page, the flash
  // `late` milliseconds after the beep. `truth` is how much later than each flash its beep left the audio graph.
  const loopback = async (name, late) => {
    const canvas = document.createElement('canvas');
    canvas.width = 320;
    canvas.height = 180;
    const paint = canvas.getContext('2d', { alpha: false });
    const graph = new AudioContext({ sampleRate: 48000 });
    await graph.resume();
    const tone = new OscillatorNode(graph, { frequency: 1000 });
    const gate = new GainNode(graph, { gain: 0 });
    const out = new MediaStreamAudioDestinationNode(graph, { channelCount: 1 });
    tone.connect(gate).connect(out);
    tone.start();
    const sent = { shift: Infinity, chunks: [], beeps: [] };
    hear(out.stream.getAudioTracks()[0].clone(), sent);
    const flashes = [];
    let next = Math.ceil(graph.currentTime) + 1, booked = false, shade = 0;
    const step = () => {
      const now = graph.currentTime;
      if (!booked && now > next - 0.6) {
        gate.gain.setValueAtTime(0.49, next);
        gate.gain.setValueAtTime(0, next + 0.04);
        booked = true;
      }
      const flash = now >= next + late / 1e3;
      if (flash) {
        flashes.push(performance.now());
        next += 1;
        booked = false;
      }
      shade = (shade + 8) % 128;
      paint.fillStyle = flash ? '#fff' : `rgb(${shade},${shade},${shade})`;
      paint.fillRect(0, 0, 320, 180);
    };
    const timer = setInterval(step, 40);
    const stream = canvas.captureStream();
    const [one, other] = [new RTCPeerConnection(), new RTCPeerConnection()];
    one.onicecandidate = ({ candidate }) => candidate && other.addIceCandidate(candidate);
    other.onicecandidate = ({ candidate }) => candidate && one.addIceCandidate(candidate);
    const video = document.createElement('video');
    Object.assign(video, { autoplay: true, width: 320, height: 180, srcObject: new MediaStream() });
    document.body.append(video);
    const mine = observe(name, video, () => false, () => other.getStats());
    other.ontrack = ({ track }) => {
      video.srcObject.addTrack(track);
      if (track.kind === 'audio') hear(track, mine.sound);
    };
    one.addTrack(stream.getVideoTracks()[0], stream);
    one.addTrack(out.stream.getAudioTracks()[0], stream);
    await one.setLocalDescription(await one.createOffer());
    await other.setRemoteDescription(one.localDescription);
    await other.setLocalDescription(await other.createAnswer());
    await one.setRemoteDescription(other.localDescription);
    const stop = () => {
      clearInterval(timer);
      one.close();
      other.close();
      graph.close();
      video.remove();
    };
    mine.source = { stop, truth: { sound: sent, flashes } };
  };

  window.__lipsync = { watch, leave, loopback };
})();
