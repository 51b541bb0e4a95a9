// A login in a popup leaves this page, and what was typed, where it is. Where popups are blocked, the link opens a tab.
// In a frame it is a page in a frame itself, which says how, and that it was done.
const login = document.getElementById("login");
if (login) {
  login.addEventListener("click", (event) => {
    if (window.open(login.href, "", "popup,width=520,height=720")) event.preventDefault();
  });
  new BroadcastChannel("oauth-proxy").addEventListener("message", (event) => {
    if (event.data?.type !== "signed-in") return;
    document.getElementById("signed-in").hidden = false;
    login.classList.add("second");
    login.hidden = login.tagName === "IFRAME";
    const send = document.querySelector("#typed button");
    send.classList.remove("second");
    send.focus();
  });
}
// Who leaves without sending it is asked first. Nothing is called on the form itself: a field may have any name.
let sends = false;
document.addEventListener("submit", () => { sends = true; });
window.addEventListener("beforeunload", (event) => { if (!sends) event.preventDefault(); });
