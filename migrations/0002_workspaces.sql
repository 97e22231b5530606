-- Each grant holds in one workspace. Those from before hold in the one that MLflow calls `default`, the only one there is
-- where workspaces are off. The key changes, which SQLite cannot do in place.

CREATE TABLE grants_in_workspaces (
    workspace    TEXT   NOT NULL,
    subject_kind TEXT   NOT NULL CHECK (subject_kind IN ('user', 'group')),
    subject      TEXT   NOT NULL,
    kind         TEXT   NOT NULL,
    form         TEXT   NOT NULL CHECK (form IN ('exact', 'prefix')),
    pattern      TEXT   NOT NULL,
    permission   TEXT   NOT NULL CHECK (permission IN ('READ', 'USE', 'EDIT', 'MANAGE', 'DENY')),
    created      BIGINT NOT NULL,
    created_by   TEXT   NOT NULL,
    PRIMARY KEY (workspace, subject_kind, subject, kind, form, pattern)
);

INSERT INTO grants_in_workspaces
    (workspace, subject_kind, subject, kind, form, pattern, permission, created, created_by)
SELECT 'default', subject_kind, subject, kind, form, pattern, permission, created, created_by FROM grants;

DROP TABLE grants;

ALTER TABLE grants_in_workspaces RENAME TO grants;

CREATE INDEX grants_by_object ON grants (workspace, kind, form, pattern);
