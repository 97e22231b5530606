-- Who asks for a permission on what, and what became of it. Nothing says that the thing exists.

CREATE TABLE access_requests (
    id         BIGINT NOT NULL PRIMARY KEY,
    workspace  TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    object     TEXT   NOT NULL,
    user_name  TEXT   NOT NULL,
    permission TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    state      TEXT   NOT NULL CHECK (state IN ('open', 'granted', 'declined', 'withdrawn')),
    created    BIGINT NOT NULL,
    decided    BIGINT,
    decided_by TEXT,
    answer     TEXT
);

CREATE INDEX access_requests_by_user ON access_requests (user_name, id);

CREATE INDEX access_requests_by_state ON access_requests (state, id);

INSERT INTO counters (name, last) VALUES ('access_requests', 0);
