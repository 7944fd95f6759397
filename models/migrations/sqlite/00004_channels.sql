-- +goose Up
-- rate: targets a second that the operator allows, 0 for the vendor's published rule.
-- rest_until: nothing is sent before, because the vendor's daily quota is used up.
ALTER TABLE credentials ADD COLUMN rate bigint NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN rest_until datetime;
ALTER TABLE credentials ADD COLUMN rest_code text NOT NULL DEFAULT '';
-- The address that the vendor reports to: its secret sealed, because it goes along
-- with messages, and hashed, to be found by.
ALTER TABLE credentials ADD COLUMN receipt_secret blob;
ALTER TABLE credentials ADD COLUMN receipt_hash blob;
ALTER TABLE credentials ADD COLUMN receipt_at datetime;
ALTER TABLE credentials ADD COLUMN receipt_count bigint NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN receipt_refused bigint NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX credentials_receipt ON credentials (receipt_hash) WHERE receipt_hash IS NOT NULL;

-- 会话合并: at most one alert per conversation and device in so many seconds, 0 for off.
ALTER TABLE apps ADD COLUMN merge_seconds bigint NOT NULL DEFAULT 0;

-- Working processes, so that each knows its share of a vendor's rate.
CREATE TABLE processes (
    owner   text PRIMARY KEY,
    seen_at datetime NOT NULL
);

-- What a vendor reported about a delivery beside arrival and click: uninstalled,
-- notifications off, dropped by its frequency rules, and so on.
CREATE TABLE vendor_notes (
    message_id text NOT NULL,
    device_id  bigint NOT NULL,
    app_id     bigint NOT NULL,
    event      text NOT NULL,
    code       text NOT NULL,
    at         datetime NOT NULL,
    PRIMARY KEY (message_id, device_id, event)
);
