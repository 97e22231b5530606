-- Roles, ends of grants, rules of who may create what, and the numbers by which MLflow's own API speaks of all of them.

-- Where the next number comes from; no number is given twice, also when what had it is gone.
CREATE TABLE counters (
    name TEXT   NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);

ALTER TABLE users ADD COLUMN id BIGINT NOT NULL DEFAULT 0;

UPDATE users SET id = numbered.n
FROM (SELECT name, ROW_NUMBER() OVER (ORDER BY created, name) AS n FROM users) AS numbered
WHERE numbered.name = users.name;

CREATE UNIQUE INDEX users_by_id ON users (id);

ALTER TABLE user_groups ADD COLUMN id BIGINT NOT NULL DEFAULT 0;

UPDATE user_groups SET id = numbered.n
FROM (SELECT name, ROW_NUMBER() OVER (ORDER BY created, name) AS n FROM user_groups) AS numbered
WHERE numbered.name = user_groups.name;

CREATE UNIQUE INDEX user_groups_by_id ON user_groups (id);

-- A role is a bundle of grants in one workspace. One that has an owner holds nothing by itself: it is the number by which
-- MLflow's API speaks of what its owner holds there.
CREATE TABLE roles (
    id          BIGINT NOT NULL PRIMARY KEY,
    workspace   TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    description TEXT   NOT NULL,
    owner_kind  TEXT   CHECK (owner_kind IN ('user', 'group')),
    owner       TEXT,
    created     BIGINT NOT NULL,
    created_by  TEXT   NOT NULL,
    UNIQUE (workspace, name),
    CHECK ((owner_kind IS NULL) = (owner IS NULL))
);

CREATE INDEX roles_by_owner ON roles (owner_kind, owner);

-- Who has which role. Roles have no roles: there is no way to write a circle of them.
CREATE TABLE assignments (
    id           BIGINT NOT NULL PRIMARY KEY,
    role_id      BIGINT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    subject_kind TEXT   NOT NULL CHECK (subject_kind IN ('user', 'group')),
    subject      TEXT   NOT NULL,
    expires      BIGINT,
    created      BIGINT NOT NULL,
    created_by   TEXT   NOT NULL,
    UNIQUE (role_id, subject_kind, subject)
);

CREATE INDEX assignments_by_subject ON assignments (subject_kind, subject);

CREATE INDEX assignments_by_end ON assignments (expires);

-- The grants, with a number, an end, and roles that hold them (`subject` is then the role's number). SQLite changes no
-- CHECK in place.
CREATE TABLE grants_with_ends (
    id           BIGINT NOT NULL PRIMARY KEY,
    workspace    TEXT   NOT NULL,
    subject_kind TEXT   NOT NULL CHECK (subject_kind IN ('user', 'group', 'role')),
    subject      TEXT   NOT NULL,
    kind         TEXT   NOT NULL,
    form         TEXT   NOT NULL CHECK (form IN ('exact', 'prefix', 'glob')),
    pattern      TEXT   NOT NULL,
    permission   TEXT   NOT NULL CHECK (permission IN ('READ', 'USE', 'EDIT', 'MANAGE', 'DENY')),
    expires      BIGINT,
    created      BIGINT NOT NULL,
    created_by   TEXT   NOT NULL,
    UNIQUE (workspace, subject_kind, subject, kind, form, pattern)
);

INSERT INTO grants_with_ends
    (id, workspace, subject_kind, subject, kind, form, pattern, permission, expires, created, created_by)
SELECT ROW_NUMBER() OVER (ORDER BY created, workspace, subject_kind, subject, kind, form, pattern),
    workspace, subject_kind, subject, kind, form, pattern, permission, NULL, created, created_by FROM grants;

DROP TABLE grants;

ALTER TABLE grants_with_ends RENAME TO grants;

CREATE INDEX grants_by_object ON grants (workspace, kind, form, pattern);

CREATE INDEX grants_by_subject ON grants (subject_kind, subject);

CREATE INDEX grants_by_end ON grants (expires);

-- Whoever is known and holds something has the role that stands for it.
INSERT INTO roles (id, workspace, name, description, owner_kind, owner, created, created_by)
SELECT ROW_NUMBER() OVER (ORDER BY owner_kind DESC, id, workspace), workspace,
    '__' || owner_kind || '_' || CAST(id AS TEXT) || '__', '', owner_kind, owner, 0, 'trackgate'
FROM (
    SELECT DISTINCT grants.workspace AS workspace, 'user' AS owner_kind, users.id AS id, users.name AS owner
    FROM grants JOIN users ON grants.subject_kind = 'user' AND grants.subject = users.name
    UNION ALL
    SELECT DISTINCT grants.workspace, 'group', user_groups.id, user_groups.name
    FROM grants JOIN user_groups ON grants.subject_kind = 'group' AND grants.subject = user_groups.name
) AS owners;

-- Who may create things of a kind under which names, besides those who may create anything in the workspace.
CREATE TABLE create_rules (
    id           BIGINT NOT NULL PRIMARY KEY,
    workspace    TEXT   NOT NULL,
    subject_kind TEXT   NOT NULL CHECK (subject_kind IN ('user', 'group', 'role')),
    subject      TEXT   NOT NULL,
    kind         TEXT   NOT NULL,
    form         TEXT   NOT NULL CHECK (form IN ('exact', 'prefix', 'glob')),
    pattern      TEXT   NOT NULL,
    expires      BIGINT,
    created      BIGINT NOT NULL,
    created_by   TEXT   NOT NULL,
    UNIQUE (workspace, subject_kind, subject, kind, form, pattern)
);

CREATE INDEX create_rules_by_subject ON create_rules (subject_kind, subject);

CREATE INDEX create_rules_by_end ON create_rules (expires);

-- The order in which changes came to be: clocks of several machines do not tell it.
ALTER TABLE changes ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;

UPDATE changes SET seq = numbered.n
FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS n FROM changes) AS numbered
WHERE numbered.id = changes.id;

DROP INDEX changes_by_object;

CREATE INDEX changes_by_object ON changes (object, seq);

CREATE INDEX sessions_by_end ON sessions (ends);

-- Which parts of the state each change touched: what every process reads anew, and nothing else.
CREATE TABLE news (
    seq  BIGINT NOT NULL,
    part TEXT   NOT NULL,
    name TEXT   NOT NULL,
    PRIMARY KEY (seq, part, name)
);

INSERT INTO counters (name, last)
SELECT 'users', COALESCE(MAX(id), 0) FROM users
UNION ALL SELECT 'groups', COALESCE(MAX(id), 0) FROM user_groups
UNION ALL SELECT 'roles', COALESCE(MAX(id), 0) FROM roles
UNION ALL SELECT 'grants', COALESCE(MAX(id), 0) FROM grants
UNION ALL SELECT 'assignments', 0
UNION ALL SELECT 'create_rules', 0
UNION ALL SELECT 'changes', COALESCE(MAX(seq), 0) FROM changes;
