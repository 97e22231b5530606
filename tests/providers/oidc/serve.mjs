// A certified OpenID provider (npm `oidc-provider`) on a free loopback port, with its own development pages for signing
// in and agreeing. Prints its address; ends when standard input does.
import http from "node:http";
import Provider from "oidc-provider";

const [publicUrl, clientId, clientSecret] = process.argv.slice(2);
const server = http.createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: [`${publicUrl}/trackgate/callback/certified`],
        post_logout_redirect_uris: [`${publicUrl}/trackgate/logged-out`],
        response_types: ["code"],
        grant_types: ["authorization_code"],
      },
    ],
    pkce: { required: () => true },
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    // The ID token carries what was asked for, as Google's does, so that no userinfo request is needed.
    conformIdTokenClaims: false,
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true, name: id }),
    }),
    cookies: { keys: ["only-for-a-test"] },
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
