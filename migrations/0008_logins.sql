-- Logins of `trackgate login`. A login is a row of `tokens` of the kind 'access', without a digest of its own: what lets in
-- and what renews is below. `expires` is when it ends unless it is renewed, `ends` when it ends however often it is.
ALTER TABLE tokens ADD COLUMN ends BIGINT;

-- `digest` is the SHA-256 of the whole secret, in hex: the table lets nobody in. A refresh token that was used is kept
-- (`rotated`): whoever shows it again later ends the login. Of one generation several may be given, to processes that raced.
CREATE TABLE login_secrets (
    digest     TEXT   NOT NULL PRIMARY KEY,
    login      TEXT   NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
    kind       TEXT   NOT NULL CHECK (kind IN ('access', 'refresh')),
    generation BIGINT NOT NULL,
    created    BIGINT NOT NULL,
    expires    BIGINT NOT NULL,
    rotated    BIGINT
);

CREATE INDEX login_secrets_by_login ON login_secrets (login, kind, generation);

CREATE INDEX login_secrets_by_end ON login_secrets (kind, expires);

-- Codes that a browser carries to the program that asked (RFC 6749 section 4.1.2). `login` is what a used one gave.
CREATE TABLE login_codes (
    digest    TEXT   NOT NULL PRIMARY KEY,
    owner     TEXT   NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    redirect  TEXT   NOT NULL,
    challenge TEXT   NOT NULL,
    device    TEXT   NOT NULL,
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL,
    used      BIGINT,
    login     TEXT
);

CREATE INDEX login_codes_by_end ON login_codes (expires);

-- Codes that a program polls with while somebody types `user_code` elsewhere (RFC 8628). `address` asked.
CREATE TABLE device_codes (
    digest    TEXT   NOT NULL PRIMARY KEY,
    user_code TEXT   NOT NULL UNIQUE,
    device    TEXT   NOT NULL,
    address   TEXT   NOT NULL,
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL,
    state     TEXT   NOT NULL CHECK (state IN ('pending', 'approved', 'refused', 'used')),
    owner     TEXT   REFERENCES users (name) ON DELETE CASCADE,
    decided   BIGINT,
    login     TEXT
);

CREATE INDEX device_codes_by_end ON device_codes (expires);
