// Talks in beeps of 100 ms, twice a second, and notes when each was made: milliseconds since 1970. By the page's own client; ends
// with the page.
async (url) => {
  const { Sending } = await import('/assets/sending.js');
  const { WhepSession } = await import('/assets/session.js');
  const context = new AudioContext({ latencyHint: 'interactive' });
  await context.resume();
  const tone = new OscillatorNode(context, { frequency: 1000 });
  const gain = new GainNode(context, { gain: 0 });
  const out = new MediaStreamAudioDestinationNode(context);
  tone.connect(gain).connect(out);
  tone.start();
  const session = new WhepSession(url, { media: new Sending(out.stream) });
  window.talking = { connected: false, beeps: [], session };
  session.addEventListener('connected', () => { window.talking.connected = true; });
  await session.open();
  setInterval(() => {
    const at = context.currentTime + 0.05;
    gain.gain.setValueAtTime(0.5, at);
    gain.gain.setValueAtTime(0, at + 0.1);
    // What is rendered at `currentTime` goes into the stream at once.
    window.talking.beeps.push(performance.timeOrigin + performance.now() + 50);
  }, 500);
}
