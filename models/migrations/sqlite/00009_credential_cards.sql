-- +goose Up
-- rest_revision: the revision of the credential whose used-up daily quota the batch
-- waits out, 0 for any other wait. A new revision may have a quota of its own.
ALTER TABLE batches ADD COLUMN rest_revision bigint NOT NULL DEFAULT 0;
CREATE INDEX batches_rest ON batches (credential_id, rest_revision) WHERE rest_revision <> 0;

-- daily_quota: what the operator says the vendor takes a day, 0 for not said.
-- quota_limit, quota_used, quota_at: what the vendor itself last said of it.
ALTER TABLE credentials ADD COLUMN daily_quota bigint NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN quota_limit bigint NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN quota_used bigint NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN quota_at datetime;

-- Since when messages carry the receipt address of a vendor that must know it first
-- (点击激活), and who said that it does; receipt_off_code is the vendor's code that
-- turned it off again.
ALTER TABLE credentials ADD COLUMN receipt_on_at datetime;
ALTER TABLE credentials ADD COLUMN receipt_on_by text NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN receipt_off_code text NOT NULL DEFAULT '';
UPDATE credentials SET receipt_on_at = updated_at, receipt_on_by = saved_by WHERE info LIKE '%"receipt_active":"on"%';
