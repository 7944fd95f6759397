-- +goose Up
-- 告警通知: where an account wants to be told, and what it was or will be told. The
-- address and the signing secret are sealed, because the address is the right to post.
CREATE TABLE alert_hooks (
    id         integer PRIMARY KEY AUTOINCREMENT,
    account_id bigint NOT NULL REFERENCES accounts (id),
    name       text NOT NULL,
    kind       text NOT NULL,
    url        blob NOT NULL,
    secret     blob,
    host       text NOT NULL,
    events     text NOT NULL,
    enabled    boolean NOT NULL,
    created_at datetime NOT NULL,
    updated_at datetime NOT NULL
);
CREATE UNIQUE INDEX alert_hooks_name ON alert_hooks (account_id, name);

-- event_key names one occasion, which a hook is told of once.
CREATE TABLE alerts (
    id         integer PRIMARY KEY AUTOINCREMENT,
    account_id bigint NOT NULL REFERENCES accounts (id),
    hook_id    bigint NOT NULL REFERENCES alert_hooks (id) ON DELETE CASCADE,
    event      text NOT NULL,
    event_key  text NOT NULL,
    facts      text NOT NULL,
    state      text NOT NULL,
    tries      bigint NOT NULL DEFAULT 0,
    error_code text NOT NULL DEFAULT '',
    error_text text NOT NULL DEFAULT '',
    due_at     datetime NOT NULL,
    created_at datetime NOT NULL,
    done_at    datetime
);
CREATE UNIQUE INDEX alerts_once ON alerts (hook_id, event_key);
CREATE INDEX alerts_due ON alerts (due_at) WHERE state = 'waiting';
CREATE INDEX alerts_account ON alerts (account_id, id);
