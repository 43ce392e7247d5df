// Tells when a stream has caught up with the camera.
//
// A newcomer is sent the pictures since the last keyframe, at most a millisecond of RTP time apart, then live ones. Decoding them
// takes a moment, in which the browser would play seconds of the past fast forward.

// Ticks of 90 kHz from one shown picture to the next. Cached ones are at most 90 apart, and of those that come within one
// refresh of the screen only the last is shown; a camera's own are 1500 apart at 60 frames a second.
const LIVE_STEP = 1300;
// A machine that decodes more slowly than this shows what it has.
const PATIENCE_MS = 2500;

// Calls onFirst with the first picture on the screen, and onLive with the first live one. Returns a function that ends it.
export function watchCatchUp(video, { onFirst, onLive }) {
  // Firefox before 132 and old iPhones: the first picture is as good as live.
  if (!video.requestVideoFrameCallback) {
    onLive();
    return () => {};
  }
  let last = null;
  let endAt = Infinity;
  let handle = video.requestVideoFrameCallback(look);
  function look(now, { rtpTimestamp }) {
    const isFirst = last === null;
    const step = isFirst ? 0 : (rtpTimestamp - last) >>> 0;
    last = rtpTimestamp;
    if (isFirst) {
      endAt = now + PATIENCE_MS;
      onFirst();
    }
    // Safari does not tell the RTP timestamp.
    if (rtpTimestamp === undefined || step > LIVE_STEP || now > endAt) onLive();
    else handle = video.requestVideoFrameCallback(look);
  }
  return () => video.cancelVideoFrameCallback(handle);
}
