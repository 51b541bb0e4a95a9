"""A tool whose page is an application in one page: a text that is typed, state in memory, and calls by script.

Its Content-Security-Policy is as strict as one can be: no inline script, no inline style, no markup from text.
"""

from collections import Counter

from aiohttp import web

POLICY = (
    "default-src 'self'; connect-src 'self' http://127.0.0.1:*; img-src data:; require-trusted-types-for 'script'"
)
PAGE = """<!doctype html><html lang=en><title>Notes</title><link rel=icon href=data:,>
<body><h1>Notes</h1><main id=root></main>{script}</body></html>"""
CLASSIC = "<script src=/oauth2/session.js></script><script src=/app.js defer></script>"
MODULE = "<script type=module src=/module.js></script>"
# What React does, in a few lines: state, a function that draws it, and handlers that change it.
APP = """
const told = window.told = [];
for (const type of ["needed", "ends", "ended", "changed"])
  oauthProxy.addEventListener(type, (event) => {
    told.push([type, event.detail]);
    console.debug(type);
  });
let state = {saved: []};
const text = Object.assign(document.createElement("textarea"), {ariaLabel: "Note"});
const save = Object.assign(document.createElement("button"), {textContent: "Save"});
const list = document.createElement("output");
root.append(text, save, list);
const set = (change) => {
  state = {...state, ...change};
  list.textContent = state.saved.join(" | ");
};
const call = async (...request) => {
  const answer = await oauthProxy.fetch(...request);
  const content = answer.ok ? (await answer.json()).said : answer.status;
  set({saved: [...state.saved, content]});
};
save.onclick = () => {
  call("/api/save", {method: "POST", body: text.value});
  call(new Request("/api/save", {method: "POST", body: "Request: " + text.value}));
  call("/api/save");
};
if (location.search == "?asks") call("/api/save");
"""
ELSEWHERE = "<!doctype html><link rel=icon href=data:,><script src={url}/oauth2/session.js></script>"


class Notes:
    """The tool, and how often it was asked to save."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/app.js", self._script),
                web.get("/module.js", self._script),
                web.route("*", "/api/save", self._save),
                web.get("/api/own", self._own_401),
            ]
        )
        return app

    async def _page(self, request: web.Request) -> web.Response:
        html = PAGE.format(script=MODULE if request.query_string == "module" else CLASSIC)
        return web.Response(text=html, content_type="text/html", headers={"Content-Security-Policy": POLICY})

    async def _script(self, request: web.Request) -> web.Response:
        text = 'import "/oauth2/session.js";\n' + APP if request.path == "/module.js" else APP
        return web.Response(text=text, content_type="text/javascript")

    async def _save(self, request: web.Request) -> web.Response:
        self.asked[request.method] += 1
        return web.json_response({"said": await request.text() or request.method})

    async def _own_401(self, request: web.Request) -> web.Response:
        del request
        return web.Response(status=401, headers={"WWW-Authenticate": 'Bearer realm="tool"'}, text="the tool's own")
