// Pages of this site that wait for a login hear of it, whichever window they are in.
new BroadcastChannel("oauth-proxy").postMessage({ type: "signed-in" });
// Only a window that a script has opened may be closed by one.
if (window.opener) window.close();
