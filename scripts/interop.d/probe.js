// Runs in the page before anything else: remembers connections, when the offer went out, and when a picture was shown.

() => {
  const seen = { connections: [], posted: null, shown: null };
  window.interop = seen;
  const Real = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    constructor(...settings) {
      super(...settings);
      seen.connections.push(this);
    }
  };
  const fetch = window.fetch;
  window.fetch = (resource, options) => {
    if (options?.method === "POST") seen.posted ??= performance.now();
    return fetch(resource, options);
  };
  const watched = new WeakSet();
  setInterval(() => {
    for (const video of document.querySelectorAll("video")) {
      if (watched.has(video)) continue;
      watched.add(video);
      video.requestVideoFrameCallback((now) => (seen.shown ??= now));
    }
  }, 5);

  // What was decoded, and how loud the loudest moment of the next `ms` is (0 to 1). Firefox does not let an AudioContext
  // run without a click; its energy (W3C webrtc-stats, totalAudioEnergy) tells sound from silence as well.
  seen.measure = async (ms) => {
    const tracks = seen.connections.flatMap((pc) => pc.getReceivers()).map((receiver) => receiver.track);
    const sound = tracks.filter((track) => track?.kind === "audio" && track.readyState === "live");
    let peak = 0;
    if (sound.length) {
      const context = new AudioContext();
      const analyser = context.createAnalyser();
      analyser.fftSize = 8192;
      context.createMediaStreamSource(new MediaStream(sound)).connect(analyser);
      const samples = new Float32Array(analyser.fftSize);
      for (const end = performance.now() + ms; performance.now() < end; ) {
        await new Promise((done) => setTimeout(done, 50));
        analyser.getFloatTimeDomainData(samples);
        peak = Math.max(peak, ...samples.map(Math.abs));
      }
    }
    const result = { frames: 0, width: 0, height: 0, packets: 0, peak, energy: 0, firstMs: null };
    for (const pc of seen.connections) {
      for (const report of (await pc.getStats()).values()) {
        if (report.type !== "inbound-rtp") continue;
        if (report.kind === "video") {
          result.frames += report.framesDecoded ?? 0;
          result.width = report.frameWidth ?? result.width;
          result.height = report.frameHeight ?? result.height;
        } else {
          result.packets += report.packetsReceived ?? 0;
          result.energy += report.totalAudioEnergy ?? 0;
        }
      }
    }
    if (seen.posted !== null && seen.shown !== null) result.firstMs = Math.max(0, seen.shown - seen.posted);
    return result;
  };
};
