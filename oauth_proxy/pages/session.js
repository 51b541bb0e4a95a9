// Keeps a page of the tool going when its session ends. docs/tool-authors.md says how; docs/session.d.ts has the types.
// It has no `export`, so that <script>, <script type="module"> and import take the same file. No token comes here.
(() => {
  "use strict";
  const {origin} = location, at = origin + "/oauth2/", W = globalThis, N = navigator;
  const own = document.currentScript?.src;
  if (own && new URL(own).origin != origin)
    throw Error("session.js is for pages of its own site, and this one is of " + origin);
  if (W.oauthProxy) return;

  const session = new EventTarget(), channel = new BroadcastChannel("oauth-proxy");
  // user: whose page this is. pending: the login that is waited for. logins: how many there have been.
  let user, isIn, pending, popup, dialog, timer, told, asked, refused, logins = 0;
  const tell = (type, detail) => session.dispatchEvent(new CustomEvent(type, {detail, cancelable: true}));
  const login = (to) => at + "start?rd=" + encodeURIComponent(to);
  const isActive = () => N.userActivation?.isActive ?? true;

  // Who is signed in, or null. To ask this way is no use of the session: a page left open ends as it should.
  const info = async () => {
    const answer = await fetch(at + "userinfo?passive");
    if (answer.ok) return answer.json();
    if (answer.status == 401) return null;
    throw Error("userinfo: " + answer.status);
  };
  const over = () => {
    clearTimeout(timer);
    if (isIn) tell("ended");
    isIn = false;
  };
  // Ask, tell what changed, and ask again when the end is near. The browser's own clock may be wrong.
  const look = async () => {
    clearTimeout(timer);
    asked = Date.now();
    let who, wait = 60;
    try {
      who = await info();
      if (!who) return over();
      if (user && user != who.id) tell("changed", who);
      const end = Math.min(who.session_expires_at, who.idle_expires_at);
      const left = end - who.now, ahead = session.minutes * 60;
      wait = left > ahead ? left - ahead : left + 1;
      if (left <= ahead && told != end) {
        told = end;
        tell("ends", {seconds: left, idle: end < who.session_expires_at});
      }
      isIn = true;
    } catch {}
    clearTimeout(timer);
    timer = setTimeout(look, Math.min(wait * 1e3, 2 ** 31 - 1));
    return who;
  };
  const settle = async () => {
    const who = await look();
    if (!who) return;
    const same = !user || user == who.id;
    user = who.id;
    logins++;
    finish(same);
    return who;
  };
  const finish = (result) => pending?.(result);
  const giveUp = () => {
    refused = true;
    finish(false);
  };

  // One promise for everybody who waits; false if nobody signed in, or somebody else did.
  const wait = () => wait.promise ??= new Promise((resolve) => {
    const late = setTimeout(giveUp, 6e5);
    const watch = setInterval(async () => {
      if (!popup?.closed) return;
      popup = null;
      if (!await settle() && pending) ask("closed");
    }, 500);
    pending = (result) => {
      clearTimeout(late);
      clearInterval(watch);
      try {
        // Only when it is back: one that has no opener cannot be closed from here while it is at Frame.io.
        if (popup.document) popup.close();
      } catch {}
      dialog?.remove();
      pending = popup = dialog = wait.promise = null;
      resolve(result);
    };
  });
  const open = () => {
    if (popup && !popup.closed) return popup.focus(), true;
    popup = W.open("", "", "popup,width=520,height=720");
    if (!popup) return false;
    popup.opener = null;
    popup.location = login(at + "signed_in");
    return true;
  };
  const ask = (reason) => {
    if (tell("needed", {reason})) show(reason);
  };
  const signIn = () => {
    const promise = wait();
    refused = false;
    // In a frame, a window may have cookies of its own: our page for frames, in another frame, knows how.
    if (W.top != W) ask("frame");
    else if (!isActive()) ask("click");
    else if (!open()) ask("blocked");
    return promise;
  };

  const show = (reason) => {
    dialog?.remove();
    dialog = document.createElement("div");
    const box = dialog.attachShadow({mode: "open"}).appendChild(document.createElement("dialog"));
    const add = (tag, text, more) => {
      const element = Object.assign(document.createElement(tag), {textContent: text}, more);
      element.style.margin = "8px";
      if (tag != "p") element.style.display = "inline-block";
      box.append(element);
    };
    const why = {closed: "The window to sign in was closed.", blocked: "Your browser blocked the window to sign in."};
    box.style.font = "16px/1.5 system-ui";
    box.oncancel = giveUp;
    box.ariaLabel = "Sign in";
    add("p", "Your session has ended. " + (why[reason] ?? ""));
    if (reason == "frame") add("iframe", "", {src: login(at + "signed_in"), title: "Sign in", width: 400, height: 400});
    else add("button", "Sign in", {onclick: signIn});
    add("button", "Not now", {onclick: giveUp});
    add("a", "Sign in on this page", {href: login(location.href)});
    document.documentElement.append(dialog);
    box.showModal();
  };

  session.fetch = async (input, init) => {
    let again = input;
    if (new URL(input.url ?? input, document.baseURI).origin != origin) return fetch(input, init);
    if (input instanceof Request || init?.body instanceof ReadableStream) {
      input = new Request(input, init);
      again = input.clone();
      init = undefined;
    }
    const before = logins, answer = await fetch(input, init), headers = answer.headers;
    if (answer.status != 401 || headers.get("X-OAuth-Proxy") != "answer") return answer;
    // Our 401 about a token that the request brought: no login helps it.
    if (/error=/.test(headers.get("WWW-Authenticate"))) return answer;
    if (before == logins) {
      if (refused && !pending && !isActive()) return answer;
      const signal = init?.signal ?? input.signal;
      const isDone = await new Promise((resolve, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason));
        (wait.promise ?? signIn()).then(resolve);
      });
      if (!isDone) return answer;
    }
    return fetch(again, init);
  };
  session.signOut = async () => {
    const answer = await fetch(at + "sign_out", {method: "POST", redirect: "manual"});
    const isElsewhere = answer.type == "opaqueredirect";
    if (!answer.ok && !isElsewhere) throw Error("sign_out: " + answer.status);
    channel.postMessage({type: "signed-out"});
    over();
    if (isElsewhere) location.href = at + "sign_out";
  };
  W.oauthProxy = Object.assign(session, {minutes: 5, info, signIn, giveUp});

  channel.onmessage = ({data}) => {
    if (data?.type == "signed-in") settle();
    if (data?.type == "signed-out") over();
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && (pending || Date.now() - asked > 6e4)) (pending ? settle : look)();
  });
  look().then((who) => user ??= who?.id);
})();
