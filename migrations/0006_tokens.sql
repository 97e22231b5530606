-- Service accounts, and tokens of our own.

-- A service account is nobody who signs in: it is recognised by its tokens.
ALTER TABLE users ADD COLUMN kind TEXT NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'service'));

-- Who looks after a service account: its tokens are theirs to make and to revoke.
CREATE TABLE account_owners (
    account    TEXT   NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    owner_kind TEXT   NOT NULL CHECK (owner_kind IN ('user', 'group')),
    owner      TEXT   NOT NULL,
    created    BIGINT NOT NULL,
    created_by TEXT   NOT NULL,
    PRIMARY KEY (account, owner_kind, owner)
);

CREATE INDEX account_owners_by_owner ON account_owners (owner_kind, owner);

-- The groups that the issuer named when it last vouched for the user: whoever comes with a token is still in them, since
-- one of them could be denied something.
ALTER TABLE identities ADD COLUMN vouched TEXT NOT NULL DEFAULT '[]';

-- `digest` is the SHA-256 of the whole token, in hex: the table lets nobody in. `id` is the part of it that is shown.
CREATE TABLE tokens (
    id         TEXT   NOT NULL PRIMARY KEY,
    digest     TEXT   NOT NULL,
    kind       TEXT   NOT NULL CHECK (kind IN ('personal', 'service', 'access', 'refresh')),
    owner      TEXT   NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    name       TEXT   NOT NULL,
    workspace  TEXT,
    ceiling    TEXT   CHECK (ceiling IN ('READ', 'USE', 'EDIT', 'MANAGE')),
    scopes     TEXT,
    created    BIGINT NOT NULL,
    created_by TEXT   NOT NULL,
    expires    BIGINT NOT NULL,
    revoked    BIGINT,
    revoked_by TEXT,
    last_used  BIGINT NOT NULL DEFAULT 0,
    addresses  TEXT   NOT NULL DEFAULT '[]'
);

CREATE INDEX tokens_by_owner ON tokens (owner);

CREATE INDEX tokens_by_end ON tokens (expires);

CREATE INDEX tokens_by_use ON tokens (last_used);
