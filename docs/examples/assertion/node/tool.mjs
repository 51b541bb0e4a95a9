// A tool that believes the proxy's assertion and nothing else: node tool.mjs PORT.
// PUBLIC_URL is the proxy's public_url. It needs jose: npm install jose.
import { createServer } from "node:http";
import { createRemoteJWKSet, jwtVerify } from "jose";

const publicUrl = process.env.PUBLIC_URL;
// Keeps the keys, and asks again when it meets a key id that it does not know.
const keys = createRemoteJWKSet(new URL(`${publicUrl}/oauth2/keys`));

/** Who is asking. Rejects whatever the proxy did not sign for this tool and this moment. */
async function visitor(assertion) {
  const { payload } = await jwtVerify(assertion, keys, {
    algorithms: ["ES256"], // never what the assertion itself names
    issuer: publicUrl,
    audience: `${publicUrl}/`, // the address of this tool: with a prefix, that too
    clockTolerance: 30, // clocks differ
    requiredClaims: ["sub", "iat", "nbf", "exp"],
  });
  return { id: payload.sub, email: payload.email };
}

createServer(async (request, response) => {
  try {
    const who = await visitor(request.headers["x-oauth-proxy-assertion"] ?? "");
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(who));
  } catch (error) {
    response.writeHead(401, { "Content-Type": "text/plain" }).end(`${error.message}\n`);
  }
}).listen(Number(process.argv[2]), "127.0.0.1");
