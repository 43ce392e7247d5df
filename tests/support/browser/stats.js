// Statistics of the newest open connection that receives `kind`; null if there is none.
async (kind) => {
  for (const pc of (window.__pcs || []).slice().reverse()) {
    if (pc.connectionState === 'closed') continue;
    const report = await pc.getStats();
    for (const s of report.values()) {
      if (s.type !== 'inbound-rtp' || s.kind !== kind) continue;
      const codec = report.get(s.codecId);
      return Object.assign({ connectionState: pc.connectionState, codec: codec ? codec.mimeType : '' }, s);
    }
  }
  return null;
}
