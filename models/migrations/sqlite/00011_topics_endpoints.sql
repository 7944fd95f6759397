-- +goose Up
-- Which devices an IM server has subscribed to its topics (channels): its messages
-- name the topic alone.
CREATE TABLE device_topics (
    app_id    bigint NOT NULL,
    im_app_id bigint NOT NULL,
    topic     text NOT NULL,
    device_id bigint NOT NULL,
    joined_at datetime NOT NULL,
    PRIMARY KEY (app_id, im_app_id, topic, device_id)
) WITHOUT ROWID;
CREATE INDEX device_topics_device ON device_topics (device_id);

-- The address that strangers' servers reach one device at, without any key of ours.
-- hash finds it; token is sealed, so that the app can ask for it again.
CREATE TABLE device_endpoints (
    device_id  bigint NOT NULL PRIMARY KEY,
    app_id     bigint NOT NULL,
    hash       blob NOT NULL,
    token      blob NOT NULL,
    created_at datetime NOT NULL
);
CREATE UNIQUE INDEX device_endpoints_hash ON device_endpoints (hash);
