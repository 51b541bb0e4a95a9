// Only a page of our own origin is given this. Where the opener is another's, or was lost on the way, the page stays.
if (window.opener) {
  window.opener.postMessage({ type: "framed", query: location.search }, location.origin);
  window.close();
}
