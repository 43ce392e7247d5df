// Watches by a session of its own, whose data channel is in `window.raw`, with all that it heard.
async (url) => {
  const peer = new RTCPeerConnection();
  peer.addTransceiver("video", { direction: "recvonly" });
  const channel = peer.createDataChannel("camgate");
  const raw = { peer, channel, heard: [] };
  window.raw = raw;
  channel.onmessage = ({ data }) => typeof data === "string" && raw.heard.push(JSON.parse(data));
  await peer.setLocalDescription();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const headers = { "Content-Type": "application/sdp" };
  const response = await fetch(url, { method: "POST", headers, body: peer.localDescription.sdp });
  raw.answer = await response.text();
  await peer.setRemoteDescription({ type: "answer", sdp: raw.answer });
}
