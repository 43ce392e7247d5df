// Pages keep their RTCPeerConnection to themselves. This runs before any script of the page and
// remembers each one, so that the tests can ask for its statistics.
(() => {
  const Native = window.RTCPeerConnection;
  if (!Native || window.__pcs) return;
  window.__pcs = [];
  window.RTCPeerConnection = class RTCPeerConnection extends Native {
    constructor(...args) {
      super(...args);
      window.__pcs.push(this);
    }
  };
})();
