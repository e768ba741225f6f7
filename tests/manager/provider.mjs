// npm's oidc-provider on a free port, which it prints; POST /rotate puts a new key before the old.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const { Provider } = await import(pathToFileURL(`${process.argv[2]}/oidc-provider/lib/index.js`));

const keys = [];
let answer;

function begin(issuer) {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  keys.unshift({ ...privateKey.export({ format: "jwk" }), alg: "RS256", use: "sig" });
  const made = new Provider(issuer, {
    clients: ["ann", "bob"].map((name) => ({
      client_id: name,
      client_secret: `${name}-secret`,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    })),
    jwks: { keys },
    ttl: { ClientCredentials: 3600 },
    extraTokenClaims: (_, token) => (token.clientId === "ann" ? { group_membership: ["lab"] } : {}),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => ({
          scope: "",
          audience: resource.replace("urn:for:", ""),
          accessTokenFormat: "jwt",
        }),
      },
    },
  });
  answer = made.callback();
}

const server = createServer((request, response) => {
  if (request.url === "/rotate") {
    begin(issuer);
    response.end();
  } else {
    answer(request, response);
  }
});
server.listen(0, "127.0.0.1");
await new Promise((done) => server.once("listening", done));
const issuer = `http://127.0.0.1:${server.address().port}`;
begin(issuer);
console.log(issuer);
