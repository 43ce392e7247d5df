// A page that is loaded again does not have this.
window.__soak = true;
window.__errors = 0;
for (const kind of ['error', 'unhandledrejection']) addEventListener(kind, () => { window.__errors += 1; });
