-- The same statements run on PostgreSQL: TEXT and BIGINT alone, times in milliseconds since the epoch, no booleans.

CREATE TABLE users (
    name       TEXT     NOT NULL PRIMARY KEY,
    admin      SMALLINT NOT NULL DEFAULT 0 CHECK (admin IN (0, 1)),
    disabled   SMALLINT NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    created    BIGINT   NOT NULL
);

-- Which `sub` of an issuer a user is. One `sub` for each issuer and user: a mail address that the issuer gives to
-- somebody else does not bring the grants along.
CREATE TABLE identities (
    issuer     TEXT   NOT NULL,
    user_name  TEXT   NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    subject    TEXT   NOT NULL,
    first_seen BIGINT NOT NULL,
    PRIMARY KEY (issuer, user_name)
);

CREATE TABLE user_groups (
    name       TEXT   NOT NULL PRIMARY KEY,
    created    BIGINT NOT NULL
);

CREATE TABLE memberships (
    group_name TEXT   NOT NULL REFERENCES user_groups (name) ON DELETE CASCADE,
    user_name  TEXT   NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    created    BIGINT NOT NULL,
    PRIMARY KEY (group_name, user_name)
);

-- `form` says how `pattern` is meant: a model may be called `a*`, which is not every model that begins with `a`.
-- No reference to users or groups: people may be given grants before they first sign in, and groups may be known to
-- an issuer alone.
CREATE TABLE grants (
    subject_kind TEXT   NOT NULL CHECK (subject_kind IN ('user', 'group')),
    subject      TEXT   NOT NULL,
    kind         TEXT   NOT NULL,
    form         TEXT   NOT NULL CHECK (form IN ('exact', 'prefix')),
    pattern      TEXT   NOT NULL,
    permission   TEXT   NOT NULL CHECK (permission IN ('READ', 'USE', 'EDIT', 'MANAGE', 'DENY')),
    created      BIGINT NOT NULL,
    created_by   TEXT   NOT NULL,
    PRIMARY KEY (subject_kind, subject, kind, form, pattern)
);

CREATE INDEX grants_by_object ON grants (kind, form, pattern);

-- `id` is the SHA-256 of what the cookie holds, in hex: the table opens no session.
CREATE TABLE sessions (
    id          TEXT   NOT NULL PRIMARY KEY,
    user_name   TEXT   NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    issuer      TEXT   NOT NULL,
    subject     TEXT   NOT NULL,
    provider    TEXT   NOT NULL,
    user_groups TEXT   NOT NULL,
    logout_hint TEXT,
    created     BIGINT NOT NULL,
    last_seen   BIGINT NOT NULL,
    ends        BIGINT NOT NULL
);

CREATE INDEX sessions_by_user ON sessions (user_name);

-- Who changed what, written in the transaction of the change itself.
CREATE TABLE changes (
    id     TEXT   NOT NULL PRIMARY KEY,
    at     BIGINT NOT NULL,
    actor  TEXT   NOT NULL,
    verb   TEXT   NOT NULL,
    object TEXT   NOT NULL,
    detail TEXT   NOT NULL
);

CREATE INDEX changes_by_object ON changes (object, id);
