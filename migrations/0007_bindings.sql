-- Which outside identities act as which service accounts. `issuer` is the short name of an `[[issuer]]` of the
-- configuration; `audiences` is a list, `claims` an object of texts, lists of texts and objects.
CREATE TABLE bindings (
    name         TEXT   NOT NULL PRIMARY KEY,
    issuer       TEXT   NOT NULL,
    audiences    TEXT   NOT NULL,
    claims       TEXT   NOT NULL,
    token_groups BIGINT NOT NULL CHECK (token_groups IN (0, 1)),
    account      TEXT   NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    created      BIGINT NOT NULL,
    created_by   TEXT   NOT NULL
);

CREATE INDEX bindings_by_account ON bindings (account);
