// A page on which things go wrong on purpose. What it does about that is in docs/tool-authors.md.

import { $, call, show } from "/assets/page.js";

const session = globalThis.oauthProxy; // of /oauth2/session.js; without the proxy there is none

const WHEN = { weekday: "short", hour: "2-digit", minute: "2-digit" };

function add(list, text) {
  const line = document.createElement("li");
  line.textContent = text;
  list.append(line);
}

// The session: who is signed in, and a button that ends it or begins another.

let isIn = true;

function tell(who) {
  const until = who && new Date(1000 * Math.min(who.session_expires_at, who.idle_expires_at));
  $("session").textContent = who
    ? `Signed in as ${who.name ?? who.email ?? who.id} until ${until.toLocaleString([], WHEN)}.`
    : "Your session has ended. This page is still here.";
  $("turn").textContent = who ? "End my session" : "Sign in";
  const isBack = who && !isIn;
  isIn = Boolean(who);
  if (!isBack) return;
  connect();
  follow();
}

async function look() {
  const who = session && await session.info();
  if (session) tell(who);
  return who;
}

// What meets a proxy that is not there, or a network that is not.
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  $("session").textContent = `No answer: ${event.reason.message}`;
});

$("turn").onclick = async () => {
  if (isIn) return session?.signOut();
  if (await session?.signIn()) await look();
};
session?.addEventListener("ended", () => tell(null));
session?.addEventListener("changed", () => location.reload());
document.addEventListener("visibilitychange", () => document.hidden || look());
look();

// The form: a digest of what is typed goes with it, so that the tool can say whether all of it arrived.

async function digest(form) {
  if (!isSecureContext) return ""; // browsers hash at https and at localhost only
  const lines = form.note.value.replace(/\r\n?|\n/g, "\r\n"); // as browsers send them
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`${lines}\0${form.secret.value}`));
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

$("form").onsubmit = async (event) => {
  event.preventDefault();
  const form = event.target;
  form.digest.value = await digest(form);
  form.submit();
};

// The link: what the address still has.

const cameWith = () => { if (location.hash) $("came").textContent = `You came with ${location.search}${location.hash}`; };
addEventListener("hashchange", cameWith);
cameWith();

// The call: sent again after a login in a popup.

$("call").onsubmit = async (event) => {
  event.preventDefault();
  await show($("call-result"), call("/echo/note", { method: "POST", body: event.target.note.value }));
  await look();
};

// The WebSocket: the code and the reason with which it is closed.

const NO_SESSION = 4401;
const MAY_NOT = 4403;
let socket, waiting;
let pause = 1; // seconds, longer each time
function connect() {
  clearTimeout(waiting);
  if (socket?.readyState <= WebSocket.OPEN) return;
  socket = new WebSocket(new URL("/clock", location.href.replace(/^http/, "ws")));
  socket.onmessage = () => {
    socket.onmessage = null;
    pause = 1;
    add($("socket"), "connected");
  };
  socket.onclose = async ({ code, reason }) => {
    add($("socket"), `closed: ${code} ${reason}`);
    if (code === MAY_NOT) return;
    if (code === NO_SESSION && !await look().catch(() => true)) return; // a login may have been quicker than this
    clearTimeout(waiting);
    waiting = setTimeout(connect, 1000 * pause);
    pause = Math.min(2 * pause, 30);
  };
}
$("connect").onclick = connect;
connect();

// The feed, which comes back by itself, and the button that takes the tool away.

let feed;
function follow() {
  if (feed && feed.readyState !== EventSource.CLOSED) return;
  feed = new EventSource("/feed");
  feed.onmessage = ({ data }) => { $("heard").textContent = data; };
  feed.onerror = () => {
    const isOver = feed.readyState === EventSource.CLOSED;
    $("heard").textContent = isOver ? "The feed has ended: sign in to go on." : "The feed was cut. Connecting again…";
  };
}
follow();

$("away").onclick = async ({ target }) => {
  const answer = await call(`/away?seconds=${target.dataset.seconds}`, { method: "POST" });
  if (!answer.ok) {
    $("away-status").textContent = await answer.text();
    return;
  }
  let left = (await answer.json()).seconds;
  target.disabled = true;
  const ticking = setInterval(() => {
    left -= 1;
    $("away-status").textContent = left > 0 ? `The tool is away for ${left} s more.` : "The tool is here again.";
    if (left > 0) return;
    clearInterval(ticking);
    target.disabled = false;
  }, 1000);
  $("away-status").textContent = `The tool is away for ${left} s.`;
};
