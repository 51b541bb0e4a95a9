// What both pages of the tool need.

export const $ = (id) => document.getElementById(id);

// The proxy's script signs in by a popup where a call meets the end of the session. Without the proxy there is none.
export const call = globalThis.oauthProxy?.fetch ?? fetch;

// An answer of the proxy's own may be a 401 that says where to sign in.
async function report(response) {
  const text = await response.text();
  try {
    return `${response.status}\n${JSON.stringify(JSON.parse(text), null, 2)}`;
  } catch {
    return `${response.status}\n${text.slice(0, 500)}`;
  }
}

export async function show(place, answer) {
  place.textContent = "Waiting…";
  try {
    place.textContent = await report(await answer);
  } catch (error) {
    place.textContent = `No answer: ${error.message}`;
  }
}
