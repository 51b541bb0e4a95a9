// Cookies between nginx and oauth-proxy, for nginx-auth-request.conf.

const OURS = /^\s*(__Host-|__Secure-)?oauth_proxy(-[A-Za-z0-9_-]*)?\s*=/;

// Every Set-Cookie line of the auth request. $upstream_http_set_cookie has the first one only (nginx before 1.23)
// or all of them as one line that no browser reads (since 1.23).
function refreshed(r) {
    return (r.headersOut["Set-Cookie"] || []).join("\n");
}

// Adds those lines to the answer for the browser, each as one, beside the tool's own.
function keep(r) {
    const lines = r.variables.oauth_proxy_set_cookies;
    if (lines) {
        r.headersOut["Set-Cookie"] = (r.headersOut["Set-Cookie"] || []).concat(lines.split("\n"));
    }
}

// The visitor's cookies without oauth-proxy's: they are long, and no business of the tool.
function others(r) {
    return (r.headersIn.Cookie || "").split(";").filter((cookie) => !OURS.test(cookie)).join(";").trim();
}

export default {refreshed, keep, others};
