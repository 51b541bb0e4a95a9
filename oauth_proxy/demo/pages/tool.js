// The page's life: a clock, a feed, an upload and one call to Frame.io's API. No token is ever seen here.

import { $, call, show } from "/assets/page.js";

const EVENTS_SHOWN = 5;

const socket = new WebSocket(new URL("/clock", location.href.replace(/^http/, "ws")));
socket.onopen = () => { $("clock-status").textContent = "Connected. UTC."; };
socket.onmessage = (message) => { $("clock").textContent = message.data; };
socket.onclose = () => { $("clock-status").textContent = "The connection has ended. Load the page again to go on."; };

const feed = new EventSource("/feed");
feed.onopen = () => { $("feed-status").textContent = "Connected."; };
feed.onmessage = (event) => {
  const line = document.createElement("li");
  line.textContent = event.data;
  $("feed").prepend(line);
  while ($("feed").children.length > EVENTS_SHOWN) $("feed").lastChild.remove();
};
feed.onerror = () => {
  const over = feed.readyState === EventSource.CLOSED;
  $("feed-status").textContent = over ? "The feed has ended. Load the page again to go on." : "Connecting again…";
};

$("api").onclick = () => show($("api-result"), call($("api").dataset.url));

$("upload").onsubmit = (event) => {
  event.preventDefault();
  show($("upload-result"), call("/upload", { method: "POST", body: $("file").files[0] }));
};
