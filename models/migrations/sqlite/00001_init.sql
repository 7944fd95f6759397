-- +goose Up

-- Control plane. Nothing here is ever joined with the data plane below, so that
-- a region may keep its data plane in a database of its own.

CREATE TABLE meta (
    key        text PRIMARY KEY,
    value      blob NOT NULL,
    updated_at datetime NOT NULL
);

CREATE TABLE accounts (
    id           integer PRIMARY KEY AUTOINCREMENT,
    name         text NOT NULL,
    time_zone    text NOT NULL DEFAULT 'Asia/Shanghai',
    language     text NOT NULL DEFAULT 'zh-CN',
    content_days integer NOT NULL DEFAULT 0,
    created_at   datetime NOT NULL
);

-- Main account ids start where an operator recognises them.
INSERT INTO sqlite_sequence (name, seq) VALUES ('accounts', 100000000);

CREATE TABLE users (
    id                  integer PRIMARY KEY AUTOINCREMENT,
    account_id          bigint NOT NULL REFERENCES accounts (id),
    name                text NOT NULL,
    is_main             boolean NOT NULL DEFAULT false,
    password_hash       text NOT NULL,
    role                text NOT NULL DEFAULT 'read',
    all_products        boolean NOT NULL DEFAULT false,
    can_im              boolean NOT NULL DEFAULT false,
    can_content         boolean NOT NULL DEFAULT false,
    language            text NOT NULL DEFAULT '',
    im_notice_seen_at   datetime,
    last_seen_at        datetime,
    disabled_at         datetime,
    password_changed_at datetime NOT NULL,
    created_at          datetime NOT NULL,
    updated_at          datetime NOT NULL
);
CREATE UNIQUE INDEX users_name ON users (account_id, name);
CREATE UNIQUE INDEX users_main_name ON users (name) WHERE is_main;
CREATE UNIQUE INDEX users_one_main ON users (account_id) WHERE is_main;

CREATE TABLE user_products (
    user_id    bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    product_id bigint NOT NULL,
    PRIMARY KEY (user_id, product_id)
);

CREATE TABLE login_sessions (
    id           integer PRIMARY KEY AUTOINCREMENT,
    user_id      bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash   blob NOT NULL UNIQUE,
    ip           text NOT NULL DEFAULT '',
    user_agent   text NOT NULL DEFAULT '',
    stay         boolean NOT NULL DEFAULT false,
    created_at   datetime NOT NULL,
    last_seen_at datetime NOT NULL,
    expires_at   datetime NOT NULL
);
CREATE INDEX login_sessions_user ON login_sessions (user_id);

-- key: hash of (login name, address). A stranger's failures never count against
-- the owner's own address.
CREATE TABLE login_attempts (
    key      blob PRIMARY KEY,
    failures integer NOT NULL,
    until    datetime NOT NULL,
    at       datetime NOT NULL
);

CREATE TABLE setup_tokens (
    hash       blob PRIMARY KEY,
    created_at datetime NOT NULL,
    expires_at datetime NOT NULL,
    spent_at   datetime
);

CREATE TABLE products (
    id          integer PRIMARY KEY AUTOINCREMENT,
    account_id  bigint NOT NULL REFERENCES accounts (id),
    name        text NOT NULL,
    description text NOT NULL DEFAULT '',
    category    text NOT NULL,
    region      text NOT NULL,
    created_at  datetime NOT NULL,
    updated_at  datetime NOT NULL,
    deleted_at  datetime
);
CREATE INDEX products_account ON products (account_id, id);
CREATE UNIQUE INDEX products_name ON products (account_id, name) WHERE deleted_at IS NULL;

-- id is the AccessID: 10 digits with the platform's and region's prefix.
CREATE TABLE apps (
    id                integer PRIMARY KEY,
    account_id        bigint NOT NULL REFERENCES accounts (id),
    product_id        bigint NOT NULL REFERENCES products (id),
    region            text NOT NULL,
    platform          text NOT NULL,
    name              text NOT NULL,
    package_name      text NOT NULL DEFAULT '',
    access_key_hash   blob NOT NULL,
    access_key        blob NOT NULL,
    secret_key        blob NOT NULL,
    service_state     text NOT NULL DEFAULT 'new',
    full_push         boolean NOT NULL DEFAULT false,
    sandbox           boolean NOT NULL DEFAULT false,
    fanout            text NOT NULL DEFAULT 'all',
    text_mode         text NOT NULL DEFAULT 'full',
    bind_required     boolean NOT NULL DEFAULT false,
    bind_key          blob,
    synced_at         datetime,
    created_at        datetime NOT NULL,
    updated_at        datetime NOT NULL,
    deleted_at        datetime,
    purged_at         datetime
);
CREATE UNIQUE INDEX apps_platform ON apps (product_id, platform) WHERE deleted_at IS NULL;
CREATE INDEX apps_account ON apps (account_id, id);

-- owner_kind 'app': the app's own keys. 'im': vendor settings entered on the IM side.
CREATE TABLE credentials (
    id            integer PRIMARY KEY AUTOINCREMENT,
    account_id    bigint NOT NULL REFERENCES accounts (id),
    owner_kind    text NOT NULL,
    owner_id      bigint NOT NULL,
    channel       text NOT NULL,
    environment   text NOT NULL,
    package_name  text NOT NULL DEFAULT '',
    kind          text NOT NULL,
    fields        blob NOT NULL,
    info          text NOT NULL DEFAULT '{}',
    not_after     datetime,
    revision      bigint NOT NULL DEFAULT 1,
    state         text NOT NULL DEFAULT 'untested',
    cause_code    text NOT NULL DEFAULT '',
    cause_text    text NOT NULL DEFAULT '',
    paused_at     datetime,
    last_ok_at    datetime,
    source        text NOT NULL DEFAULT 'manual',
    source_id     bigint,
    source_rev    bigint,
    saved_by      text NOT NULL DEFAULT '',
    created_at    datetime NOT NULL,
    updated_at    datetime NOT NULL
);
CREATE UNIQUE INDEX credentials_slot ON credentials (owner_kind, owner_id, channel, environment, package_name);

CREATE TABLE im_apps (
    id              integer PRIMARY KEY AUTOINCREMENT,
    account_id      bigint NOT NULL REFERENCES accounts (id),
    name            text NOT NULL,
    sdk_app_id      bigint NOT NULL,
    bridge          text NOT NULL,
    secret_hash     blob NOT NULL UNIQUE,
    prev_hash       blob,
    prev_expires_at datetime,
    allow_ips       text NOT NULL DEFAULT '',
    last_request_at datetime,
    last_outcome    text NOT NULL DEFAULT '',
    created_at      datetime NOT NULL,
    updated_at      datetime NOT NULL,
    deleted_at      datetime
);
CREATE UNIQUE INDEX im_apps_sdk ON im_apps (account_id, sdk_app_id) WHERE deleted_at IS NULL;
CREATE INDEX im_apps_prev ON im_apps (prev_hash);

-- What an IM app's ingest address received, by UTC hour and outcome: accepted,
-- duplicate, sender, badge, skipped, unauthorized, invalid, refused.
CREATE TABLE im_app_stats (
    im_app_id bigint NOT NULL,
    hour      bigint NOT NULL,
    outcome   text NOT NULL,
    n         bigint NOT NULL,
    PRIMARY KEY (im_app_id, hour, outcome)
);

CREATE TABLE authorizations (
    id           integer PRIMARY KEY AUTOINCREMENT,
    account_id   bigint NOT NULL REFERENCES accounts (id),
    im_app_id    bigint NOT NULL REFERENCES im_apps (id),
    product_id   bigint NOT NULL REFERENCES products (id),
    app_id       bigint NOT NULL REFERENCES apps (id),
    plan_id      bigint NOT NULL,
    prev_state   text NOT NULL,
    created_by   bigint NOT NULL,
    created_name text NOT NULL DEFAULT '',
    created_at   datetime NOT NULL,
    released_at  datetime
);
CREATE UNIQUE INDEX authorizations_app ON authorizations (app_id) WHERE released_at IS NULL;
CREATE INDEX authorizations_im ON authorizations (im_app_id);
CREATE INDEX authorizations_account ON authorizations (account_id, id);

CREATE TABLE plans (
    id          integer PRIMARY KEY AUTOINCREMENT,
    account_id  bigint NOT NULL REFERENCES accounts (id),
    app_id      bigint NOT NULL REFERENCES apps (id),
    kind        text NOT NULL DEFAULT 'custom',
    name        text NOT NULL,
    description text NOT NULL DEFAULT '',
    released_at datetime,
    created_at  datetime NOT NULL,
    updated_at  datetime NOT NULL
);
CREATE UNIQUE INDEX plans_name ON plans (app_id, name);
CREATE UNIQUE INDEX plans_im ON plans (app_id) WHERE kind = 'im';

CREATE TABLE audit_logs (
    id          integer PRIMARY KEY AUTOINCREMENT,
    account_id  bigint NOT NULL,
    user_id     bigint NOT NULL,
    user_name   text NOT NULL,
    product_id  bigint NOT NULL DEFAULT 0,
    action      text NOT NULL,
    target_kind text NOT NULL,
    target_id   text NOT NULL,
    target_name text NOT NULL DEFAULT '',
    before      text NOT NULL DEFAULT '',
    after       text NOT NULL DEFAULT '',
    ip          text NOT NULL DEFAULT '',
    at          datetime NOT NULL
);
CREATE INDEX audit_logs_account ON audit_logs (account_id, id);

-- Data plane. Every row carries app_id and is never joined with the tables above.

CREATE TABLE devices (
    id            integer PRIMARY KEY AUTOINCREMENT,
    app_id        bigint NOT NULL,
    token         text NOT NULL UNIQUE,
    secret_hash   blob NOT NULL,
    platform      text NOT NULL,
    brand         text NOT NULL DEFAULT '',
    model         text NOT NULL DEFAULT '',
    os_version    text NOT NULL DEFAULT '',
    app_version   text NOT NULL DEFAULT '',
    sdk_version   text NOT NULL DEFAULT '',
    language      text NOT NULL DEFAULT '',
    time_zone     text NOT NULL DEFAULT '',
    notify        smallint NOT NULL DEFAULT 0,
    badge         integer NOT NULL DEFAULT 0,
    is_virtual    boolean NOT NULL DEFAULT false,
    registered_at datetime NOT NULL,
    last_seen_at  datetime NOT NULL,
    retired_at    datetime,
    retired_code  text NOT NULL DEFAULT ''
);
CREATE INDEX devices_app ON devices (app_id, id);

CREATE TABLE routes (
    id            integer PRIMARY KEY AUTOINCREMENT,
    app_id        bigint NOT NULL,
    device_id     bigint NOT NULL,
    channel       text NOT NULL,
    environment   text NOT NULL,
    package_name  text NOT NULL DEFAULT '',
    token         text NOT NULL,
    token_hash    blob NOT NULL,
    registered_at datetime NOT NULL,
    retired_at    datetime,
    retired_code  text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX routes_token ON routes (token_hash, app_id, channel);
CREATE INDEX routes_device ON routes (device_id);

CREATE TABLE device_accounts (
    device_id    bigint NOT NULL,
    account_type integer NOT NULL,
    account      text NOT NULL,
    app_id       bigint NOT NULL,
    bound_at     datetime NOT NULL,
    PRIMARY KEY (device_id, account_type)
) WITHOUT ROWID;
CREATE INDEX device_accounts_account ON device_accounts (app_id, account, account_type);

-- Never updated. Content is not here: while work is open it is sealed in the
-- batch, afterwards it is gone unless the account keeps it (message_contents).
CREATE TABLE messages (
    id           text NOT NULL,
    app_id       bigint NOT NULL,
    im_app_id    bigint NOT NULL,
    plan_id      bigint NOT NULL,
    source       text NOT NULL,
    source_id    text NOT NULL,
    kind         text NOT NULL,
    account      text NOT NULL,
    account_type integer NOT NULL DEFAULT 0,
    sender       text NOT NULL DEFAULT '',
    conversation text NOT NULL DEFAULT '',
    sandbox      boolean NOT NULL DEFAULT false,
    accepted_at  datetime NOT NULL,
    expires_at   datetime NOT NULL,
    PRIMARY KEY (app_id, id)
) WITHOUT ROWID;
CREATE INDEX messages_account ON messages (app_id, account, id);
CREATE INDEX messages_source ON messages (app_id, source_id);

CREATE TABLE message_contents (
    message_id text PRIMARY KEY,
    app_id     bigint NOT NULL,
    content    blob NOT NULL,
    expires_at datetime NOT NULL
);
CREATE INDEX message_contents_expiry ON message_contents (expires_at);

-- One row per message and device; device_id 0 carries an end that concerns no
-- device, such as no_device.
CREATE TABLE deliveries (
    message_id    text NOT NULL,
    device_id     bigint NOT NULL,
    app_id        bigint NOT NULL,
    plan_id       bigint NOT NULL,
    channel       text NOT NULL DEFAULT '',
    credential_id bigint NOT NULL DEFAULT 0,
    state         text NOT NULL,
    reason        text NOT NULL DEFAULT '',
    code          text NOT NULL DEFAULT '',
    detail        text NOT NULL DEFAULT '',
    vendor_id     text NOT NULL DEFAULT '',
    attempts      integer NOT NULL DEFAULT 0,
    ms            integer NOT NULL DEFAULT 0,
    resolved_at   datetime NOT NULL,
    at            datetime NOT NULL,
    arrived_at    datetime,
    clicked_at    datetime,
    cleared_at    datetime,
    PRIMARY KEY (message_id, device_id)
) WITHOUT ROWID;
CREATE INDEX deliveries_state ON deliveries (app_id, state, message_id) WHERE state <> 'accepted';
CREATE INDEX deliveries_device ON deliveries (device_id, message_id);

-- Attempts, except a first one that was accepted: the delivery row says that already.
CREATE TABLE attempts (
    message_id text NOT NULL,
    device_id  bigint NOT NULL,
    n          integer NOT NULL,
    app_id     bigint NOT NULL,
    channel    text NOT NULL,
    outcome    text NOT NULL,
    code       text NOT NULL DEFAULT '',
    detail     text NOT NULL DEFAULT '',
    ms         integer NOT NULL DEFAULT 0,
    at         datetime NOT NULL,
    PRIMARY KEY (message_id, device_id, n)
) WITHOUT ROWID;

-- Receipts that came before the send was recorded; folded in when it is.
CREATE TABLE early_receipts (
    message_id text NOT NULL,
    device_id  bigint NOT NULL,
    app_id     bigint NOT NULL,
    status     text NOT NULL,
    at         datetime NOT NULL,
    PRIMARY KEY (message_id, device_id, status)
) WITHOUT ROWID;

-- Ids ascend with time, so that the oldest rows are found without an index of the
-- hour, which would cost as much as the key's.
CREATE TABLE dedupe (
    id         integer PRIMARY KEY,
    key        blob NOT NULL UNIQUE,
    message_id text NOT NULL,
    hour       bigint NOT NULL
);

-- Unfinished work. due_at NULL: waits for a paused credential. A batch is worked
-- only under a lease; recording deletes it where id and generation still match.
CREATE TABLE batches (
    id            integer PRIMARY KEY AUTOINCREMENT,
    credential_id bigint NOT NULL DEFAULT 0,
    app_id        bigint NOT NULL DEFAULT 0,
    count         integer NOT NULL,
    payload       blob NOT NULL,
    due_at        datetime,
    expires_at    datetime NOT NULL,
    owner         text NOT NULL DEFAULT '',
    lease_until   datetime,
    generation    integer NOT NULL DEFAULT 1,
    created_at    datetime NOT NULL
);
CREATE INDEX batches_due ON batches (due_at, id);
CREATE INDEX batches_credential ON batches (credential_id) WHERE credential_id <> 0;

-- slot spreads concurrent writers of one counter over a few rows.
CREATE TABLE counters (
    app_id  bigint NOT NULL,
    plan_id bigint NOT NULL,
    hour    bigint NOT NULL,
    sandbox boolean NOT NULL,
    channel text NOT NULL,
    metric  text NOT NULL,
    reason  text NOT NULL,
    slot    smallint NOT NULL,
    n       bigint NOT NULL,
    PRIMARY KEY (app_id, plan_id, hour, sandbox, channel, metric, reason, slot)
) WITHOUT ROWID;

CREATE TABLE sandbox_pushes (
    id        integer PRIMARY KEY AUTOINCREMENT,
    app_id    bigint NOT NULL,
    device_id bigint NOT NULL DEFAULT 0,
    channel   text NOT NULL,
    vendor_id text NOT NULL DEFAULT '',
    status    integer NOT NULL,
    reason    text NOT NULL DEFAULT '',
    ms        integer NOT NULL DEFAULT 0,
    headers   text NOT NULL DEFAULT '{}',
    payload   blob NOT NULL,
    at        datetime NOT NULL
);
CREATE INDEX sandbox_pushes_app ON sandbox_pushes (app_id, id);
CREATE INDEX sandbox_pushes_device ON sandbox_pushes (device_id);
