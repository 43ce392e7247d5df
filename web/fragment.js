// ICE of a session description, in pieces: application/trickle-ice-sdpfrag (RFC 8840).

// What an offer says of its side of ICE, but for the candidates that `told` has, an earlier state of the same offer. The
// first section carries the transport of the whole bundle.
export function iceFragment(sdp, told = '') {
  const [session, first] = sdp.split(/\r?\n(?=m=)/);
  const framing = lines(session).filter((line) => /^a=(group|ice-options):/.test(line));
  const known = lines(told).filter((line) => line.startsWith('a=candidate:'));
  const section = lines(first)
    .filter((line) => /^(m=|a=(mid|ice-ufrag|ice-pwd|ice-options|candidate):)/.test(line) && !known.includes(line));
  return [...framing, ...section, ''].join('\r\n');
}

// The answer of before with the gateway's new side of ICE in each of its sections.
export function answerAfterRestart(answer, fragment) {
  const isIce = (line) => /^a=(ice-ufrag|ice-pwd|candidate|end-of-candidates)\b/.test(line);
  const news = lines(fragment).filter(isIce);
  const kept = lines(answer).filter((line) => !isIce(line));
  return [...kept.flatMap((line) => (line.startsWith('a=mid:') ? [line, ...news] : [line])), ''].join('\r\n');
}

function lines(text = '') {
  return text.split(/\r?\n/).filter(Boolean);
}
