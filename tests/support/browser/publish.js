// Publishes what getUserMedia gives to a WHIP endpoint, and leaves the connection in `window.publisher`.
async (url, { codec, audio, width, height, withoutKeyframes, token }) => {
  const stream = await navigator.mediaDevices.getUserMedia({ video: width > 0 && { width, height }, audio });
  const peer = new RTCPeerConnection(withoutKeyframes ? { encodedInsertableStreams: true } : {});
  for (const track of stream.getTracks()) {
    const transceiver = peer.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    if (track.kind === "video" && codec) {
      const all = RTCRtpSender.getCapabilities("video").codecs;
      const wanted = all.filter(({ mimeType }) => [`video/${codec}`, "video/rtx"].includes(mimeType));
      transceiver.setCodecPreferences(wanted);
    }
    if (withoutKeyframes) {
      const { readable, writable } = transceiver.sender.createEncodedStreams();
      const transform = new TransformStream({
        transform: (frame, out) => frame.type !== "key" && out.enqueue(frame),
      });
      readable.pipeThrough(transform).pipeTo(writable);
    }
  }
  await peer.setLocalDescription();
  await new Promise((resolve) => {
    const look = () => peer.iceGatheringState === "complete" && resolve();
    peer.onicegatheringstatechange = look;
    look();
    setTimeout(resolve, 2000);
  });
  const headers = { "Content-Type": "application/sdp" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const body = peer.localDescription.sdp;
  const response = await fetch(url, { method: "POST", headers, body });
  const text = await response.text();
  if (response.status !== 201) {
    peer.close();
    return { status: response.status, problem: JSON.parse(text) };
  }
  await peer.setRemoteDescription({ type: "answer", sdp: text });
  const [location, etag] = ["Location", "ETag"].map((name) => response.headers.get(name));
  window.publisher = { peer, stream, location, etag };
  return { status: response.status };
}
