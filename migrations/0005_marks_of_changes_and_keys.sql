-- Each change has a mark that no other change has, in no other database: whoever was cut off sees by it whether what answers
-- now is the database that was read, gone on, or another one (a backup, a standby that lagged behind).
ALTER TABLE news ADD COLUMN mark TEXT NOT NULL DEFAULT '';

-- The keys that seal what browsers carry, for all gates of this database that have no key file of their own.
CREATE TABLE seal_keys (
    id      TEXT   NOT NULL PRIMARY KEY,
    secret  TEXT   NOT NULL,
    created BIGINT NOT NULL
);
