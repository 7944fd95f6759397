-- +goose Up
-- Ingest secrets that a later rotation has overtaken within their 24 hours;
-- im_apps.prev_hash is the last one.
CREATE TABLE im_app_old_secrets (
    hash       blob PRIMARY KEY,
    im_app_id  integer NOT NULL REFERENCES im_apps (id),
    expires_at datetime NOT NULL
) WITHOUT ROWID;
CREATE INDEX im_app_old_secrets_app ON im_app_old_secrets (im_app_id);
