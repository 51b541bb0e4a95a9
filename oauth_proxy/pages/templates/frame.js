// A login that begins late would end too late: after ten minutes the page is loaded again, with a new one.
const shown = Date.now();
const isOld = () => Date.now() - shown > 600_000;
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && isOld()) location.reload();
});
document.getElementById("login").addEventListener("click", (event) => {
  if (isOld()) {
    event.preventDefault();
    location.reload();
  } else if (window.open(event.currentTarget.href, "", "popup,width=520,height=720")) {
    event.preventDefault();
  }
});
// From the window, which is of our origin again in the end. What it hands over is sealed, and good only for the
// browser that has this frame, so it does not matter which of our pages says it. Where the window has the same cookies
// as the frame, it hands over nothing: the login is done.
addEventListener("message", ({ origin, data }) => {
  if (origin !== location.origin || data?.type !== "framed") return;
  location.replace(data.query ? "/oauth2/framed" + data.query : document.getElementById("own").href);
});
