-- +goose Up
-- addressing: what a token of this IM app is, for protocols that address devices by
-- token: 'device' is Hongyan's device token, 'vendor' a vendor's token that the app
-- registered. names: the app or server ids that the IM server names, one a line.
ALTER TABLE im_apps ADD COLUMN addressing text NOT NULL DEFAULT 'device';
ALTER TABLE im_apps ADD COLUMN names text NOT NULL DEFAULT '';

-- Finds the IM app by a name, for protocols whose address holds no secret.
CREATE TABLE im_app_names (
    bridge    text NOT NULL,
    name      text NOT NULL,
    im_app_id bigint NOT NULL REFERENCES im_apps (id),
    PRIMARY KEY (bridge, name)
);
CREATE INDEX im_app_names_app ON im_app_names (im_app_id);

-- Tokens that an IM server registered for its users, where the push service keeps them
-- for it (Zulip). kind is the server's word for the token: gcm or apns.
CREATE TABLE im_app_tokens (
    im_app_id  bigint NOT NULL REFERENCES im_apps (id),
    account    text NOT NULL,
    kind       text NOT NULL,
    token      text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (im_app_id, account, kind, token)
);
